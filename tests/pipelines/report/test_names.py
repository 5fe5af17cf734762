import pytest

from pipelines.report.names import (
    change,
    is_compared,
    is_headline,
    lower_is_better,
    metrics_of,
    number,
    order,
    other_unit,
    title,
    unit,
)

HEADLINES = [  # in the report's order
    "fine-tune/top1",
    "linear-probe/top1",
    "knn/top1",
    "few-shot/5way1shot",
    "few-shot/5way5shot",
    "few-shot/10way1shot",
    "few-shot/10way5shot",
    "suite/mean",
    "detect/box_AP",
    "detect/box_AP50",
    "detect/mask_AP",
    "detect/mask_AP50",
    "segment/mIoU",
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("knn/top1", "kNN, top-1"),
        ("knn/top1_k100", "kNN, top-1, k = 100"),
        ("few-shot/5way1shot_logistic", "Few-shot, 5-way 1-shot, logistic"),
        ("few-shot/3way2shot", "Few-shot, 3-way 2-shot"),
        ("few-shot/3way2shot_ridge", "Few-shot, 3-way 2-shot, ridge"),
        ("low-shot/1pct_probe", "Few labels, 1 % of them, linear classifier"),
        ("low-shot/13img_finetune", "Few labels, 13 image(s) a class, fine-tuned"),
        ("partial-finetune/0.5blocks", "Fine-tuning of the last 0.5 blocks, top-1"),
        ("suite/mean_natural", "Suite, mean of natural"),
        ("evaluate/mCE", "Corruptions, mCE (lower is better)"),
        ("evaluate/c_fog", "Tested on corruption fog"),
        ("evaluate/v2", "Tested on v2"),
        ("analyze/effective_rank", "Features, effective rank"),
    ],
)
def test_any_metric_has_a_title(name: str, expected: str) -> None:
    assert title(name) == expected


def test_metrics_are_in_the_order_of_tasks_then_known_ones_then_numbers() -> None:
    names = [
        "fine-tune/top1",
        "partial-finetune/0blocks",
        "partial-finetune/0.5blocks",
        "partial-finetune/2blocks",
        "partial-finetune/12blocks",
        "low-shot/1pct_finetune",
        "low-shot/10pct_finetune",
        "knn/top1",
        "knn/top1_k10",
        "knn/top1_k100",
        "few-shot/10way5shot",
        "few-shot/5way1shot_ridge",
        "segment/mIoU",
    ]
    assert sorted(reversed(names), key=order) == names
    assert sorted(reversed(HEADLINES), key=order) == HEADLINES


def test_only_headlines_are_in_the_first_table() -> None:
    for name in (*HEADLINES, "low-shot/1pct_probe", "evaluate/r", "evaluate/mCE"):
        assert is_headline(name), name
    for name in ("knn/top1_k10", "few-shot/5way1shot_ridge", "suite/flowers", "analyze/rankme"):
        assert not is_headline(name), name


def test_a_stages_results_are_told_from_what_it_logged() -> None:
    logged = ["loss", "lr", "val/top1", "fine-tune/top1", "knn/top1"]
    assert metrics_of("finetune", logged) == ["fine-tune/top1"]


def test_numbers_are_in_percent_with_their_interval() -> None:
    assert number("knn/top1", 0.8734, 0.0081) == "87.3 ± 0.8"
    assert number("knn/top1", 1.0, None) == "100.0"
    assert number("analyze/rankme", 41.26, None) == "41.3"


@pytest.mark.parametrize(
    "name, headline, shown",
    [
        ("detect/box_AP", True, "Detection, box AP"),
        ("detect/box_AP75", False, "Detection, box AP75"),
        ("detect/mask_AP_small", False, "Instance segmentation, mask AP, small"),
        ("segment/mIoU", True, "Semantic segmentation, mIoU"),
        ("segment/mIoU_multiscale", False, "Semantic segmentation, mIoU, multiscale"),
    ],
)
def test_dense_metrics_have_names(name: str, headline: bool, shown: str) -> None:
    assert (is_headline(name), title(name)) == (headline, shown)


def test_a_metric_that_is_no_share_is_shown_as_it_is() -> None:
    assert number("pretrain/loss", 0.41234, None) == "0.4123" and unit("pretrain/loss") == ""
    assert other_unit("analyze/rankme") == " (a count, not percent)"
    assert change("pretrain/loss", -0.01) == "-0.0100"
    assert change("knn/top1", 0.0512) == "+5.1" and unit("knn/top1") == " (%)"


def test_each_metric_knows_which_way_is_better() -> None:
    assert lower_is_better("pretrain/loss") and lower_is_better("evaluate/mCE")
    assert not lower_is_better("knn/top1") and not lower_is_better("analyze/rankme")
    assert is_compared("evaluate/mCE") and not is_compared("analyze/rankme")


def test_a_metric_that_no_card_knows_is_shown_last_and_never_compared() -> None:
    unknown = "depth/rmse"
    assert sorted([unknown, *HEADLINES], key=order)[-1] == unknown
    assert number(unknown, 0.412, 0.02) == "0.412 ± 0.020"
    assert not is_headline(unknown) and not is_compared(unknown)


@pytest.mark.parametrize(
    ("value", "ci95", "expected"),
    [
        (12.3412, 0.412, "12.3 ± 0.4 px"),
        (0.012345, 0.0012, "0.0123 ± 0.0012 px"),
        (12345.6, 678.0, "12346 ± 678 px"),
        (0.5, 0.0, "0.500 ± 0.000 px"),
        (12.3412, None, "12.3 px"),
        (0.0, None, "0.0 px"),
        (float("nan"), None, "no value"),
        (1.7976931348623157e308, None, "no value"),  # as MLflow has what is infinite
    ],
)
def test_an_error_has_the_datas_unit_and_as_many_digits_as_its_interval(
    value: float, ci95: float | None, expected: str
) -> None:
    assert number("knn/mae", value, ci95, "px") == expected
    assert other_unit("knn/mae") == " (not percent)" and unit("knn/mae") == ""


def test_a_difference_of_errors_has_the_unit_too() -> None:
    assert change("knn/rmse", -1.23456, 0.5, "years") == "-1.2 years"
    assert change("knn/rmse", 0.5, None) == "+0.500"
    assert number("knn/r2", -0.25, 0.1) == "-0.250 ± 0.100"
    assert lower_is_better("knn/mae") and lower_is_better("fine-tune/rmse")
    assert not lower_is_better("knn/r2") and not lower_is_better("linear-probe/spearman")

import pytest

from mae_core.card import MetricInfo, Stage
from mae_core.stage import Metric, StageResult

DEPTH = Stage(
    name="depth",
    help="Train and test depth.",
    module="depth.stage",
    task="deep",
    metrics=(
        MetricInfo("rmse", "Depth, RMSE", unit="m", higher_is_better=False, digits=3),
        MetricInfo(r"below_([\d.]+)", r"Depth, within \1"),
        MetricInfo(r"(.+)", r"Depth, \1", headline=False),
    ),
    captions={"overlay": "Depth"},
)


def test_the_first_that_is_the_whole_name_counts() -> None:
    assert DEPTH.metric("deep/rmse") is DEPTH.metrics[0]
    assert DEPTH.metric("deep/below_1.25") is DEPTH.metrics[1]
    assert DEPTH.metric("deep/rmse_log") is DEPTH.metrics[2]
    assert DEPTH.metric("depth/rmse") is None and DEPTH.metric("knn/rmse") is None


def test_only_shares_are_shown_in_percent() -> None:
    assert [info.scale for info in DEPTH.metrics] == [1, 100, 100]


def test_a_result_that_its_card_tells_of_is_taken() -> None:
    artifacts = {"overlay": "overlay.png", "table": "table.json"}
    DEPTH.refuse_unknown(StageResult({"deep/rmse": Metric(0.4)}, artifacts=artifacts))


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (StageResult({"depth/rmse": Metric(0.4)}), "the metric 'depth/rmse'"),
        (StageResult(artifacts={"errors": "errors.png"}), "the picture 'errors'"),
    ],
)
def test_what_a_card_does_not_tell_of_is_an_error_with_its_name(
    result: StageResult, told: str
) -> None:
    with pytest.raises(LookupError, match=f"the stage 'depth' leaves {told}, of which its card"):
        DEPTH.refuse_unknown(result)

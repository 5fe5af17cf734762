from io import StringIO
from pathlib import Path

import pytest
from mmengine.config import Config
from rich.console import Console

from mae_core.config import load_config
from mae_core.errors import UserError
from mae_core.stage import Metric, StageResult
from pipelines.report.leaderboard import Board, leaderboard
from pipelines.tracking.tracker import Tracker
from tests.pipelines.conftest import Pair

KNN = "knn/vit-micro-p6_k20_demo"
DATA = '{"demo/classification/train": "aaaa", "demo/classification/test": "bbbb"}'


def shown(task: str, tracker: Tracker, width: int = 150) -> tuple[list[Board], str]:
    text = StringIO()
    return leaderboard(task, tracker, Console(file=text, width=width)), text.getvalue()


def test_real_benchmarks_are_ranked_by_protocol(pair: Pair) -> None:
    boards, text = shown("knn", pair.tracker)
    assert len(boards) == 2  # k = 3 and k = 1
    for board in boards:
        values = [place.row.value for place in board.places]
        assert values == sorted(values, reverse=True)
        assert {place.row.encoder for place in board.places} == {"mae", "random"}
        assert len({place.benchmark for place in board.places}) == 1
        assert board.protocol in text
    assert {b.places[0].benchmark for b in boards} == {pair.first, pair.second}
    assert f"tiny, {boards[0].places[0].date}, run {pair.first[:8]}" in text


def test_benchmarks_of_another_seed_share_a_board(pair: Pair) -> None:
    (board,), _ = shown("few-shot/2way1shot", pair.tracker)
    assert [place.row.metric for place in board.places] == ["2way1shot"] * 4
    assert {place.benchmark for place in board.places} == {pair.first, pair.second}


def add(
    tracker: Tracker,
    folder: Path,
    encoder: str,
    value: float,
    parent: str | None = None,
    seed: int = 0,
    overrides: tuple[str, ...] = (),
    **tags: str,
) -> str:
    """A finished kNN run."""
    config: Config = load_config(KNN, overrides=[f"seed={seed}", *overrides])
    config.dump(str(folder / "config.py"))
    tags = {"stage": "knn", "encoder": encoder, "seed": str(seed), "data": DATA, **tags}
    run_id = tracker.start(f"knn[{encoder}]", {"recipe": "tiny", **tags}, parent)
    tracker.artifact(run_id, folder / "config.py")
    tracker.finish(run_id, StageResult({"knn/top1": Metric(value, 0.01)}))
    return run_id


def ranking(board: Board) -> list[tuple[str, float]]:
    return [(place.row.encoder, place.row.value) for place in board.places]


def test_seeds_of_a_benchmark_are_joined_and_of_a_repeated_cell_the_last_counts(
    tracker: Tracker, tmp_path: Path
) -> None:
    parent = tracker.start("tiny", {"stage": "benchmark", "recipe": "tiny"})
    add(tracker, tmp_path, "mae", 0.1, parent)
    add(tracker, tmp_path, "mae", 0.6, parent)
    add(tracker, tmp_path, "mae", 0.8, parent, seed=1)
    (board,), _ = shown("knn", tracker)
    assert ranking(board) == [("mae", pytest.approx(0.7))]
    assert [seed["value"] for seed in board.places[0].row.seeds] == [0.6, 0.8]


def test_what_is_not_comparable_is_on_a_board_of_its_own(tracker: Tracker, tmp_path: Path) -> None:
    add(tracker, tmp_path, "one", 0.5)
    add(tracker, tmp_path, "two", 0.6, overrides=("encoder.img_size=36", "num_workers=2"))
    add(tracker, tmp_path, "other-k", 0.9, overrides=("k=5",))
    add(tracker, tmp_path, "other-data", 0.8, data=DATA.replace("bbbb", "cccc"))
    add(tracker, tmp_path, "copy", 0.99, reused_from="somewhere")
    tracker.end(add(tracker, tmp_path, "broken", 0.99), "FAILED")
    boards, _ = shown("knn", tracker)
    assert ranking(boards[0]) == [("two", 0.6), ("one", 0.5)]
    assert {ranking(board)[0][0] for board in boards[1:]} == {"other-k", "other-data"}


def test_a_run_without_its_config_is_compared_with_none(tracker: Tracker, tmp_path: Path) -> None:
    for encoder in ("one", "two"):
        run_id = tracker.start("knn", {"stage": "knn", "encoder": encoder})
        tracker.finish(run_id, StageResult({"knn/top1": Metric(0.5)}))
    boards, _ = shown("knn", tracker)
    assert [len(board.places) for board in boards] == [1, 1]


def test_of_an_error_the_smallest_is_first(tracker: Tracker, tmp_path: Path) -> None:
    load_config("evaluate/vit-micro-p6_demo").dump(str(tmp_path / "config.py"))
    for encoder, value in (("one", 0.9), ("two", 0.4)):
        run_id = tracker.start("evaluate", {"stage": "evaluate", "encoder": encoder})
        tracker.artifact(run_id, tmp_path / "config.py")
        tracker.finish(run_id, StageResult({"evaluate/mCE": Metric(value)}))
    (board,), _ = shown("evaluate/mCE", tracker)
    assert ranking(board) == [("two", 0.4), ("one", 0.9)]


def test_encoders_of_all_families_share_a_board_and_say_what_they_are(
    tracker: Tracker, tmp_path: Path
) -> None:
    dino = {
        "encoder.parameters": "22056576",
        "encoder.gflops": "93.77",
        "encoder.input_size": "518x518",
        "encoder.licence": "cc-by-nc-4.0",
    }
    add(tracker, tmp_path, "dino", 0.8, overrides=("encoder.arch=vit-small-p16",), **dino)
    add(tracker, tmp_path, "older", 0.7)
    (board,), text = shown("knn", tracker, width=200)
    assert ranking(board) == [("dino", 0.8), ("older", 0.7)]
    first, second = (line for line in text.splitlines() if "dino" in line or "older" in line)
    for fact in ("22.1 M", "93.8", "518×518", "cc-by-nc-4.0 (non-commercial)"):
        assert fact in first
    assert second.count("unknown") == 3


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("knnn", "no task is called 'knnn': did you mean 'knn'?"),
        ("pretrain", "no task is called 'pretrain'"),
        ("segment", "no run of 'segment' has finished in sqlite:///.*: mae-bench segment makes"),
        ("knn/top", "no run of 'knn' has 'knn/top': did you mean 'knn/top1'?"),
    ],
)
def test_what_there_is_not_is_told_with_what_there_is(
    task: str, message: str, tracker: Tracker, tmp_path: Path
) -> None:
    add(tracker, tmp_path, "mae", 0.5)
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        shown(task, tracker)

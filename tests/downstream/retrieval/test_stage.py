import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import StandardScaler

from downstream.classification.features import features_cached, features_of
from downstream.outcomes import Grouped, load_outcomes
from downstream.retrieval.stage import check, run
from downstream.statistics import compare, mean, share
from mae_core import UserError
from mae_core.config import load_config
from mae_core.stage import SilentReporter, StageResult
from tests.downstream.classification.conftest import on
from tests.downstream.conftest import lit_garments

METRICS = ["map", "map_at_r", "recall_at_1", "recall_at_5", "recall_at_10"]
GROUP = r"\d/(\d)\d?\.png"  # images 1, 10 to 19 of each class are a group, and so on


class Noting(SilentReporter):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Four classes that are hard to tell apart."""
    dim = lit_garments(tmp_path, noise=200, light=30)
    config = on(load_config("retrieval/vit-micro-p6_demo"), dim)
    config.pool = "cls"
    return config


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "stages" / "retrieval"
    folder.mkdir(parents=True)
    return folder


def grouped(config: Config) -> Config:
    for data in (config.train_data, config.val_data):
        data.group = GROUP
    config.gallery = "val"
    return config


def lonely(config: Config, *left: str) -> Config:
    """Searches val, where the first class has the images `left`."""
    for path in (Path(config.val_data.data) / "class-0").iterdir():
        if path.stem not in left:
            path.unlink()
    config.gallery = "val"
    return config


def by_scikit_learn(
    config: Config, work_dir: Path, layer: int | None = None
) -> tuple[list[float], list[int]]:
    """The average precision of each query, and the place of its first hit."""
    train, val = features_of(("train", "val"), config, "random", work_dir, SilentReporter())
    if layer is not None:
        train, val = train.of_layer(layer), val.of_layer(layer)
    x, asked = train.x.double().numpy(), val.x.double().numpy()
    if config.standardize:
        scaler = StandardScaler().fit(train.x.double().numpy())
        x, asked = scaler.transform(x), scaler.transform(asked)
    y, within = train.y.numpy(), config.gallery == "val"
    if within:
        x, y = asked, val.y.numpy()
    groups = np.arange(len(val.y)) if val.groups is None else val.groups.of
    precisions, firsts = [], []
    for row, scores in enumerate(cosine_similarity(asked, x)):
        kept = groups != groups[row] if within else np.ones(len(x), bool)
        right = y[kept] == int(val.y[row])
        if right.any():
            precisions.append(average_precision_score(right, scores[kept]))
            firsts.append(1 + int(np.argmax(right[np.argsort(-scores[kept])])))
    return precisions, firsts


def values_of(result: StageResult, name: str) -> Any:
    found = load_outcomes(Path(result.artifacts["outcomes"]))[f"retrieval/{name}"]
    return found.values if isinstance(found, Grouped) else found


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("gallery", ["train", "val", "groups of val"])
def test_every_query_is_judged_as_by_scikit_learn(
    config: Config, work_dir: Path, gallery: str, standardize: bool
) -> None:
    config = grouped(config) if "groups" in gallery else config
    config.update(gallery=gallery.rpartition(" ")[2], standardize=standardize)
    check(config, "random")
    result = run(config, "random", work_dir, SilentReporter())
    assert list(result.metrics) == [f"retrieval/{name}" for name in METRICS]
    precisions, firsts = by_scikit_learn(config, work_dir)
    assert len(precisions) == 80
    # Standardized by float32's mean and deviation, with Bessel's correction.
    assert values_of(result, "map") == pytest.approx(np.array(precisions), abs=0.02)
    assert np.mean(np.abs(values_of(result, "map") - precisions) < 1e-9) > 0.5
    for k in config.ks:
        near = values_of(result, f"recall_at_{k}") == (np.array(firsts) <= k)
        assert near.mean() > 0.98
    values = [result.metrics[f"retrieval/recall_at_{k}"].value for k in config.ks]
    assert values[0] < values[1] < values[2]


def test_intervals_are_of_the_kept_outcomes_and_rows_are_compared_by_them(
    config: Config, work_dir: Path
) -> None:
    kept = []
    for pool in ("cls", "avg"):
        config.pool = pool
        result = run(config, "random", work_dir, SilentReporter())
        outcomes = load_outcomes(Path(result.artifacts["outcomes"]))
        for name in ("map", "map_at_r"):
            assert result.metrics[f"retrieval/{name}"] == mean(outcomes[f"retrieval/{name}"])
        hits = outcomes["retrieval/recall_at_5"]
        assert result.metrics["retrieval/recall_at_5"] == share(hits)
        kept.append((result.metrics["retrieval/map"].value, outcomes["retrieval/map"]))
    (first, one), (second, other) = kept
    found = compare(one, other)
    assert found.difference == pytest.approx(first - second) and found.low < found.high


def test_intervals_are_over_groups_where_images_come_in_them(
    config: Config, work_dir: Path
) -> None:
    alone = run(config, "random", work_dir, SilentReporter())
    config.val_data.group = GROUP
    together = run(config, "random", work_dir, SilentReporter())
    for name in METRICS:
        outcome = load_outcomes(Path(together.artifacts["outcomes"]))[f"retrieval/{name}"]
        assert isinstance(outcome, Grouped)
        one, other = (of.metrics[f"retrieval/{name}"] for of in (alone, together))
        assert one.value == other.value and one.ci95 != other.ci95


@pytest.mark.parametrize("groups", [False, True])
def test_queries_that_look_for_nothing_are_counted_and_said(
    config: Config, work_dir: Path, caplog: pytest.LogCaptureFixture, groups: bool
) -> None:
    """Two images of one group are as lonely as one image."""
    config = grouped(lonely(config, "1", "10")) if groups else lonely(config, "1")
    said = f"{1 + groups} of {61 + groups} val images are no queries"
    with caplog.at_level(logging.WARNING):
        check(config, "random")
    assert said in caplog.text and f"{1 + groups} of class-0" in caplog.text
    reporter = Noting()
    result = run(config, "random", work_dir, reporter)
    assert any(note.startswith(said) for note in reporter.notes)
    precisions, _ = by_scikit_learn(config, work_dir)
    assert len(precisions) == len(values_of(result, "recall_at_1")) == 60
    assert values_of(result, "map") == pytest.approx(np.array(precisions), abs=0.02)


@pytest.mark.parametrize(("change", "splits"), [({}, 1), ({"standardize": True}, 2)])
def test_train_images_are_encoded_only_where_they_are_needed(
    config: Config, work_dir: Path, change: dict[str, Any], splits: int
) -> None:
    config.update(gallery="val", **change)
    assert not features_cached(config, "random", work_dir)
    run(config, "random", work_dir, SilentReporter())
    assert len(list((work_dir.parent / "features").glob("*.npz"))) == splits
    assert features_cached(config, "random", work_dir)


@pytest.mark.parametrize("gallery", ["train", "val"])
def test_the_best_layer_is_chosen_on_train_images_and_searched_by(
    config: Config, work_dir: Path, gallery: str
) -> None:
    config.encoder.depth = 3
    config.update(layer="best", held_out=0.2, gallery=gallery, ks=[1])
    check(config, "random")
    reporter = Noting()
    result = run(config, "random", work_dir, reporter)
    (chosen,) = [number for number in range(3) if f"layer {number} of" in reporter.notes[0]]
    assert Path(result.artifacts["layers"]).exists()
    precisions, _ = by_scikit_learn(config, work_dir, chosen)
    assert values_of(result, "map") == pytest.approx(np.array(precisions), abs=0.02)


def test_the_same_search_gives_the_same_bits(config: Config, work_dir: Path) -> None:
    first, again = (run(config, "random", work_dir, SilentReporter()) for _ in range(2))
    assert first.metrics == again.metrics
    torch.manual_seed(1)
    assert run(config, "random", work_dir, SilentReporter()).metrics == first.metrics


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gallery": "tain"}, "gallery='tain': expected 'train' or 'val'"),
        ({"ks": 5}, "ks=5: expected a list"),
        ({"ks": [1, 1]}, "different numbers"),
        ({"ks": [0]}, "ks has 0: expected whole numbers from 1 to 120"),
        ({"ks": ["1"]}, "ks has '1'"),
        ({"ks": [True]}, "ks has True"),
        ({"ks": [121]}, "ks has 121"),
        ({"ks": [80], "gallery": "val"}, "from 1 to 79, the fewest images"),
    ],
)
def test_what_cannot_be_searched_is_told_before_anything_runs(
    config: Config, change: dict[str, Any], message: str
) -> None:
    config.update(change)
    with pytest.raises(UserError, match=message):
        check(config, "random")


def test_where_nothing_is_relevant_to_anything_that_is_told(config: Config) -> None:
    for data in (config.train_data, config.val_data):
        data.group = r"class-(\d)"
    check(config, "random")
    config.gallery = "val"
    with pytest.raises(UserError, match=r"80 of 80 val images are no queries.* 20 of class-0"):
        check(config, "random")


def test_of_one_class_there_is_nothing_to_measure(config: Config, tmp_path: Path) -> None:
    for split in ("train", "val"):
        for label in (1, 2, 3):
            (tmp_path / split / f"class-{label}").rename(tmp_path / f"{split}-{label}")
    with pytest.raises(UserError, match="all images are of the class class-0"):
        check(config, "random")

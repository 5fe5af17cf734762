"""Layers of frozen features: a given one and the best, in each stage that takes them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch.nn import functional as F

from downstream.classification import features, grid, knn, linear_probe, suite
from downstream.classification.features import train_and_val_features
from downstream.classification.layers import held_out
from downstream.classification.metrics import deciding
from downstream.few_shot import stage as few_shot
from downstream.few_shot.episodes import classified
from downstream.outcomes import Episodes, load_outcomes
from mae_core import UserError
from mae_core.config import load_config
from mae_core.data.images import ImageDataset
from mae_core.data.sources.groups import groups_by_name
from mae_core.data.sources.select import stratified
from mae_core.encoders.vit import ViTEncoder
from mae_core.stage import SilentReporter, StageResult
from tests.downstream.classification.conftest import on
from tests.downstream.conftest import lit_garments

DEPTH = 4
LIGHT = 40  # of 255, amid noise of up to 200


class Noting(SilentReporter):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)


@pytest.fixture
def garments(tmp_path: Path) -> Path:
    """As those of the other tests, but so dim that layers differ in what they reach."""
    return lit_garments(tmp_path, noise=200, light=LIGHT)


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "stages" / "one"
    folder.mkdir(parents=True)
    return folder


def best_of(name: str, garments: Path) -> Config:
    """The config of a stage on `garments` that is to choose a layer."""
    config = on(load_config(name), garments)
    config.encoder.depth = DEPTH
    config.update(layer="best", held_out=0.2, seed=7)
    if config.pool == "avg":
        config.pool = "cls"  # by which, with this seed, neither the first nor the last is best
    return config


def by_hand(config: Config, train: features.Features, k: int) -> list[float]:
    """What each layer reaches: a loop over the held-out images, kNN in numpy."""
    y = train.y.numpy()
    asked = stratified(y, train.classes, config.held_out, config.seed)
    bank = np.setdiff1d(np.arange(len(y)), asked)
    found = []
    for first, end in train.columns:
        x = F.normalize(train.x[:, first:end].double()).numpy()
        right = 0
        for image in asked:
            cosine = x[bank] @ x[image]
            near = np.argsort(-cosine)[:k]
            votes = np.zeros(len(train.classes))
            np.add.at(votes, y[bank][near], np.exp(cosine[near] / 0.07))
            right += votes.argmax() == y[image]
        found.append(right / len(asked))
    return found


def table(result: StageResult, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(result.artifacts[name]).read_text())
    return content


def shuffled_labels(config: Config) -> None:
    """Give val images other labels: the files of each class go to the next one."""
    val = Path(config.val_data.data)
    folders = sorted(val.iterdir())
    for number, folder in enumerate(folders):
        folder.rename(val / f"moved-{number}")
    for number, folder in enumerate(folders):
        (val / f"moved-{(number + 1) % len(folders)}").rename(folder)


def test_knn_of_a_layer_is_knn_on_that_layers_features(
    features_config: Config, work_dir: Path
) -> None:
    features_config.encoder.depth = DEPTH
    outcomes = []
    for layer in (0, 2, DEPTH - 1, None):
        features_config.layer = layer
        result = knn.run(features_config, "random", work_dir, SilentReporter())
        found = load_outcomes(Path(result.artifacts["outcomes"]))["knn/top1"]
        x = [by_encoder(features_config, split, layer) for split in ("train", "val")]
        labels = [torch.arange(4).repeat_interleave(each) for each in (30, 20)]
        predicted = knn.knn_predict(x[0], labels[0], x[1], [20], features_config.temperature)[0]
        assert np.array_equal(found, (predicted == labels[1]).numpy())
        outcomes.append(found.tolist())
    assert outcomes[0] != outcomes[1] != outcomes[2] == outcomes[3]
    assert len(list((work_dir.parent / "features").glob("*.npz"))) == 2 * 4


def by_encoder(config: Config, split: str, layer: int | None) -> torch.Tensor:
    """Features of all images of a split, by the encoder's blocks and its norm."""
    encoder = features.frozen_encoder(config, "random")
    assert isinstance(encoder, ViTEncoder)
    images = ImageDataset(**config[f"{split}_data"])
    pixels = torch.stack([images[i]["inputs"] for i in range(len(images))]).float()
    mean, std = (torch.tensor(config.pixels[key])[:, None, None] for key in ("mean", "std"))
    with torch.inference_mode():
        tokens = encoder.embed((pixels - mean) / std)
        for block in list(encoder.blocks)[: DEPTH if layer is None else layer + 1]:
            tokens = block(tokens)
        found: torch.Tensor = encoder.norm(tokens)[:, 1:].mean(dim=1)
    return found


@pytest.mark.parametrize("standardize", [False, True])
def test_knn_takes_the_layer_that_is_best_on_held_out_train_images(
    garments: Path, work_dir: Path, standardize: bool
) -> None:
    config = best_of("knn/vit-micro-p6_k20_demo", garments)
    config.standardize = standardize
    knn.check(config, "random")
    reporter = Noting()
    result = knn.run(config, "random", work_dir, reporter)
    train, _ = train_and_val_features(config, "random", work_dir, SilentReporter())
    rows = table(result, "layers")["layers"]
    reached = [row["held_out_top1"] for row in rows]
    if not standardize:
        assert reached == pytest.approx(by_hand(config, train, config.k))
    best = int(np.argmax(reached))
    assert len(rows) == DEPTH and best not in (0, DEPTH - 1)
    assert table(result, "layers")["won"] == rows[best]
    assert any(note.startswith(f"layer {best} of 0 to 3") for note in reporter.notes)
    config.layer = best
    alone = knn.run(config, "random", work_dir, SilentReporter())
    assert alone.metrics == result.metrics and "layers" not in alone.artifacts


def few_shots(garments: Path) -> Config:
    config = best_of("few_shot/vit-micro-p6_600ep_demo", garments)
    config.update(episodes=20, queries=5, settings=[(2, 1)], heads=("centroid",))
    return config


def probe(garments: Path) -> Config:
    config = best_of("linear_probe/vit-micro-p6_1xb500-25e_demo", garments)
    config.train_dataloader.batch_size, config.train_cfg.max_epochs = 50, 3
    config.rates = (0.1, 1.0)
    return config


def test_few_shot_takes_the_layer_that_is_best_on_train_images_of_known_classes(
    garments: Path, work_dir: Path
) -> None:
    config = few_shots(garments)
    train, val = train_and_val_features(config, "random", work_dir, SilentReporter())
    for novel in (None, ["class-0", "class-3"]):
        config.novel_classes = novel
        few_shot.check(config, "random")
        result = few_shot.run(config, "random", work_dir, SilentReporter())
        known = torch.isin(train.y, torch.tensor([1, 2])) if novel else train.y >= 0
        seen = features.Features(train.x[known], train.y[known], train.classes, train.columns)
        rows = table(result, "layers")["layers"]
        expected = by_hand(config, seen, knn.K)
        assert [row["held_out_top1"] for row in rows] == pytest.approx(expected)
        x = val.of_layer(int(np.argmax(expected))).x
        chosen = torch.isin(val.y, torch.tensor([0, 3])) if novel else val.y >= 0
        episodes = classified(x[chosen], val.y[chosen], 2, 1, 5, 20, ["centroid"], config.seed)
        found = load_outcomes(Path(result.artifacts["outcomes"]))["few-shot/2way1shot"]
        assert isinstance(found, Episodes)
        assert np.array_equal(found.correct, episodes["centroid"].correct)


def test_the_grid_has_the_layers_as_one_more_axis(garments: Path, work_dir: Path) -> None:
    config = probe(garments)
    linear_probe.check(config, "random")
    reporter = Noting()
    result = linear_probe.run(config, "random", work_dir, reporter)
    rows = table(result, "grid")["settings"]
    assert [(row["layer"], row["rate"]) for row in rows] == [
        (layer, rate) for layer in range(DEPTH) for rate in (0.1, 1.0)
    ]
    won = table(result, "grid")["won"]
    assert won == max(rows, key=lambda row: row["held_out_top1"])
    assert any(f"on layer {won['layer']} won" in note for note in reporter.notes)


def test_a_head_of_the_grid_sees_its_layer_alone(garments: Path, tmp_path: Path) -> None:
    """Only one layer's features tell the classes apart: its heads alone learn them."""
    config = probe(garments)
    config.train_cfg.max_epochs, config.optim_wrapper.optimizer.lr = 20, 2.0
    y = torch.arange(80) % 4
    noise = torch.randn(80, 12, generator=torch.Generator().manual_seed(0))
    x = torch.cat([noise[:, :8], noise[:, 8:] + 9 * torch.eye(4)[y]], dim=1)
    given = features.Features(x, y, tuple("abcd"), ((0, 4), (4, 8), (8, 12)))
    settings = grid.settings_of(config, 3)
    part = grid.PartReporter(SilentReporter(), "grid", 0, 1)
    heads = grid.fit(config, settings, given, tmp_path, part)
    for number, setting in enumerate(settings):
        value = deciding(grid.scored(heads, number, given), config)
        assert (value > 0.95) == (setting.layer == 2)


@pytest.mark.parametrize(
    ("config_of", "run", "name"),
    [
        (lambda path: best_of("knn/vit-micro-p6_k20_demo", path), knn.run, "layers"),
        (few_shots, few_shot.run, "layers"),
        (probe, linear_probe.run, "grid"),
    ],
    ids=["knn", "few-shot", "linear-probe"],
)
def test_val_images_do_not_take_part_in_the_choice(
    garments: Path,
    tmp_path: Path,
    config_of: Callable[[Path], Config],
    run: Callable[..., StageResult],
    name: str,
) -> None:
    found, values = [], []
    for folder in ("before", "after"):
        config = config_of(garments)
        work_dir = tmp_path / folder / "one"
        work_dir.mkdir(parents=True)
        result = run(config, "random", work_dir, SilentReporter())
        found.append(table(result, name))
        values.append({key: metric.value for key, metric in result.metrics.items()})
        shuffled_labels(config)
    assert found[0] == found[1] and values[0] != values[1]


def test_a_suite_chooses_a_layer_of_each_data_set(garments: Path, work_dir: Path) -> None:
    config = best_of("suite/vit-micro-p6_demo", garments)
    config.examples = (60, 40)
    for entry in config.datasets:
        for split in ("train", "val"):
            entry[f"{split}_data"].data = str(garments / split)
    suite.check(config, "random")
    chosen = table(suite.run(config, "random", work_dir, SilentReporter()), "settings")
    setting = chosen["fashion-mnist"]
    reached = []
    for layer in range(DEPTH):
        config.layer = layer
        shutil.rmtree(work_dir / "fashion-mnist")
        result = suite.run(config, "random", work_dir, SilentReporter())
        reached.append(table(result, "settings")["fashion-mnist"]["held_out"])
    assert setting["layer"] == int(np.argmax(reached))
    assert setting["held_out"] == max(reached)


def test_features_of_all_layers_are_computed_once_for_all_stages(
    garments: Path, work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = best_of("knn/vit-micro-p6_k20_demo", garments)
    assert not features.features_cached(config, "random", work_dir)
    knn.run(config, "random", work_dir, SilentReporter())
    assert features.features_cached(config, "random", work_dir)
    monkeypatch.setattr(features, "extract", None)
    for other, run in ((few_shots(garments), few_shot.run), (probe(garments), linear_probe.run)):
        assert features.features_cached(other, "random", work_dir)
        run(other, "random", work_dir, SilentReporter())


def test_few_shot_has_features_of_train_images_to_choose_a_layer(
    garments: Path, work_dir: Path
) -> None:
    config = few_shots(garments)
    few_shot.run(config, "random", work_dir, SilentReporter())
    assert len(list((work_dir.parent / "features").glob("*.npz"))) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": DEPTH}, "layer=4: the encoder has layers 0 to 3"),
        ({"layer": -1}, "layer=-1: the encoder has layers 0 to 3"),
        ({"layer": "worst"}, "layer='worst': the encoder has layers 0 to 3"),
        ({"pool": "last2"}, "pool='last2' takes the last blocks"),
        ({"pool": "own+avg"}, r"pool='own\+avg': expected 'avg'"),
        ({"held_out": None}, "needs held_out.*found held_out=None"),
        ({"held_out": 1.0}, "needs held_out.*found held_out=1.0"),
        ({"held_out": 0.01}, "1.0% of the 30 images of class-0 is none"),
        ({"held_out": 0.99}, "held_out=0.99 leaves no train image"),
        ({"stage": "other"}, "layer='best': other does not choose one"),
    ],
)
def test_a_choice_that_cannot_be_is_told_before_anything_runs(
    garments: Path, change: dict[str, Any], message: str
) -> None:
    config = best_of("knn/vit-micro-p6_k20_demo", garments)
    knn.check(config, "random")
    config.update(change)
    with pytest.raises(UserError, match=message):
        knn.check(config, "random")


def test_a_pooling_of_the_last_layer_alone_leaves_nothing_to_choose(garments: Path) -> None:
    config = best_of("knn/vit-micro-p6_k20_demo", garments)
    config.pool = "own"
    with pytest.raises(UserError, match="layer='best' looks at every layer: pool='own' is of the"):
        knn.check(config, "timm:test_resnet@random")


def test_one_known_class_is_too_few_to_choose_a_layer_by(garments: Path) -> None:
    config = few_shots(garments)
    config.novel_classes = ["class-0", "class-1", "class-3"]
    with pytest.raises(UserError, match="novel_classes leaves 1 of 4 classes"):
        few_shot.check(config, "random")


def test_a_probe_on_augmented_images_takes_a_layer_but_does_not_choose_one() -> None:
    config = load_config("linear_probe/vit-base-p16_8xb2048-amp-coslr-90e_in1k")
    config.encoder.update(arch="vit-micro-p6", img_size=224, patch_size=16, depth=DEPTH)
    for layer, message in (("best", "layer='best' is chosen on features"), (9, "layers 0 to 3")):
        config.layer = layer
        with pytest.raises(UserError, match=message):
            linear_probe.check(config, "random")


def test_the_part_that_chooses_has_groups_of_its_own() -> None:
    labels = np.repeat([0, 1], 60)
    groups = groups_by_name([str(number) for number in np.arange(120) // 6])
    config = Config({"held_out": 0.2, "seed": 0})
    chosen = held_out(labels, ["a", "b"], groups, config)
    chooses, learns = groups.only(chosen), groups.only(np.setdiff1d(np.arange(120), chosen))
    assert chooses.present() and not chooses.present() & learns.present()
    assert np.bincount(labels[chosen]).tolist() == [12, 12]
    alone = held_out(labels, ["a", "b"], None, config)
    assert alone.tolist() == stratified(labels, ["a", "b"], 0.2, 0).tolist()
    config.held_out = 0.0001
    with pytest.raises(UserError, match=r"held_out=0\.0001: no group of . chooses.* in 100 draws"):
        held_out(labels, ["a", "b"], groups, config)


def test_no_seed_leaves_a_part_without_a_class_where_groups_can_give_it_one() -> None:
    """A check sees one seed, and the runs of a benchmark have others."""
    labels = np.repeat([0, 1, 2], 20)
    groups = groups_by_name([f"g{number}" for number in np.arange(60) // 5])
    for seed in range(50):
        chosen = held_out(labels, ["a", "b", "c"], groups, Config({"held_out": 0.2, "seed": seed}))
        learns = groups.only(np.setdiff1d(np.arange(60), chosen))
        assert set(labels[chosen]) == {0, 1, 2}
        assert not groups.only(chosen).present() & learns.present()

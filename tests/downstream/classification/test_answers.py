"""Images with several labels, or with a number, through every stage that takes them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from sklearn.metrics import average_precision_score, r2_score
from torch.nn import functional as F

from downstream.classification import finetune, knn, linear_probe, low_shot, partial
from downstream.classification.answers import Answers, Number, SeveralLabels, answers_of
from downstream.classification.features import train_and_val_features
from downstream.classification.load import load_classifier
from downstream.few_shot import stage as few_shot
from downstream.outcomes import load_outcomes
from mae_core import UserError
from mae_core.checkpoints import read_metadata
from mae_core.config import load_config
from mae_core.data.sources.targets import Targets
from mae_core.stage import SilentReporter, StageResult
from tests.downstream.conftest import TINY

LIGHTS = ("left", "right", "top")
COLUMNS = {"labels": {"labels": "lights"}, "number": {"number": "area"}}
MAIN = {"labels": "map", "number": "r2"}
STAGES = {
    "fine-tune": ("finetune/vit-micro-p4_1xb64_cifar10", finetune.run),
    "linear-probe": ("linear_probe/vit-micro-p6_1xb500-25e_demo", linear_probe.run),
    "knn": ("knn/vit-micro-p6_k20_demo", knn.run),
    "partial-finetune": ("partial_finetune/vit-micro-p6_1xb64-40e_demo-250", partial.run),
    "low-shot": ("low_shot/vit-micro-p4_cifar10", low_shot.run),
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos with bright parts: which are bright, and how many pixels are (in px)."""
    folder, rng = tmp_path_factory.mktemp("tables"), np.random.default_rng(0)
    for split, count in (("train", 160), ("val", 80)):
        rows = ["path,lights,area"]
        for number in range(count):
            pixels = rng.integers(0, 60, (12, 12), dtype=np.uint8)
            on = [name for name in LIGHTS if rng.random() < 0.4]
            parts = {"left": np.s_[6:, :6], "right": np.s_[6:, 6:], "top": np.s_[:6]}
            for name in on:
                pixels[parts[name]] += 150
            name = f"{split}-{number}.png"
            Image.fromarray(pixels).save(folder / name)
            rows.append(f"{name},{'|'.join(on)},{int((pixels > 100).sum())}")
        (folder / f"{split}.csv").write_text("\n".join(rows))
    return folder


def config_of(stage: str, tables: Path, kind: str, **changes: Any) -> Config:
    config = load_config(STAGES[stage][0])
    config.encoder.update({**TINY, "img_size": 12, "patch_size": 6, "drop_path": 0.0})
    for split in ("train", "val"):
        named = [config.get(f"{split}_data"), config.get(f"{split}_dataloader", {}).get("dataset")]
        for data in filter(None, named):
            data.data, data.columns = str(tables / f"{split}.csv"), COLUMNS[kind]
            data.part = data.per_class = None
            data.unit = "px" if kind == "number" else None
            data.transform.input_size = 12
            if split == "train" and data.transform.get("is_training"):
                data.transform.update(scale=(1.0, 1.0), ratio=(1.0, 1.0), hflip=0.0)
    if stage in ("fine-tune", "partial-finetune", "low-shot"):
        config.train_dataloader.batch_size = 16
        config.train_cfg.max_epochs, config.scratch = 12, {}
        config.optim_wrapper.optimizer.lr = 0.03
    if stage == "linear-probe":
        config.train_cfg.max_epochs, config.rates, config.pool = 10, (1e-3, 1e-2, 1.0), "avg"
    if stage == "partial-finetune":
        config.blocks = (0, 1)
    if stage == "low-shot":
        config.sets = [{"name": "half", "share": 0.5, "splits": 2}]
    if stage == "knn":
        config.k, config.more_k = 5, (3,)
    config.merge_from_dict(changes)
    return config


def ran(stage: str, config: Config, folder: Path) -> StageResult:
    work_dir = folder / "stages" / stage
    work_dir.mkdir(parents=True)
    return STAGES[stage][1](config, "random", work_dir, SilentReporter())


@pytest.mark.parametrize("kind", MAIN)
@pytest.mark.parametrize("stage", STAGES)
def test_bright_parts_are_found_and_measured(
    stage: str, kind: str, tables: Path, tmp_path: Path
) -> None:
    result = ran(stage, config_of(stage, tables, kind), tmp_path)
    name = MAIN[kind]
    expected = {
        "fine-tune": [name],
        "linear-probe": [name],
        "knn": [name, f"{name}_k3"],
        "partial-finetune": [f"0blocks_{name}", f"1blocks_{name}"],
        "low-shot": [f"half_probe_{name}", f"half_finetune_{name}"],
    }[stage]
    assert list(result.metrics) == [f"{stage}/{one}" for one in expected]
    best = max(metric.value for metric in result.metrics.values())
    assert best > 0.75, "light in a part is easy"
    outcomes = load_outcomes(Path(result.artifacts["outcomes"]))
    assert set(outcomes) == set(result.metrics)
    for metric in result.metrics.values():
        assert metric.ci95


def test_the_metrics_are_those_of_scikit_learn_on_the_answers(tables: Path, tmp_path: Path) -> None:
    config = config_of("fine-tune", tables, "number", metrics=["mae", "spearman"])
    images = finetune.open_images(config)
    _, found = finetune.fit(config, "random", *images, tmp_path, SilentReporter())
    truth = images[1].targets
    assert truth is not None and torch.equal(found.labels, torch.from_numpy(truth.values))
    assert found.value("r2")(np.ones(80)) == pytest.approx(r2_score(found.labels, found.scores))
    assert float(found.scores.mean()) == pytest.approx(float(truth.values.mean()), rel=0.3)
    result = ran("fine-tune", config, tmp_path)
    assert result.metrics["fine-tune/mae"].unit == "px"
    assert result.metrics["fine-tune/r2"].unit == ""
    about = read_metadata(str(result.checkpoint))
    assert about["answers"] == "number" and about["classes"] == ["area"] and about["unit"] == "px"
    assert about["mean"] == pytest.approx(float(images[0].targets.values.mean()))  # type: ignore[union-attr]
    with pytest.raises(UserError, match="answers with a number"):
        load_classifier(str(result.checkpoint), config.encoder, config.pixels)


def test_the_neighbours_vote_by_their_labels(tables: Path, tmp_path: Path) -> None:
    config = config_of("knn", tables, "labels", metrics=["auroc", "macro_f1"], k=1)
    result = ran("knn", config, tmp_path)
    work_dir = tmp_path / "stages" / "knn"
    train, val = train_and_val_features(config, "random", work_dir, SilentReporter())
    cosine = F.normalize(val.x) @ F.normalize(train.x).T
    nearest = train.y[cosine.argmax(dim=1)]
    expected = average_precision_score(val.y, nearest, average="macro")
    assert result.metrics["knn/map"].value == pytest.approx(expected)
    assert {"knn/auroc", "knn/macro_f1"} < set(result.metrics)


@pytest.mark.parametrize("kind", MAIN)
def test_the_best_layer_is_chosen_by_the_main_metric(
    kind: str, tables: Path, tmp_path: Path
) -> None:
    config = config_of("knn", tables, kind, layer="best", held_out=0.3)
    result = ran("knn", config, tmp_path)
    layers = json.loads(Path(result.artifacts["layers"]).read_text())
    assert f"held_out_{MAIN[kind]}" in layers["won"]


def test_mixed_images_have_the_labels_of_both(tables: Path, tmp_path: Path) -> None:
    config = config_of("fine-tune", tables, "labels")
    config.mixing = {"mixup_alpha": 0.8, "cutmix_alpha": 1.0}
    model = finetune.build_classifier(config, "random", 3, SeveralLabels())
    labels = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    images = torch.zeros(3, 3, 12, 12, dtype=torch.uint8)
    flip = torch.zeros(3, dtype=torch.bool)
    batch = {"inputs": images, "label": labels, "seed": torch.arange(3), "flip": flip}
    mixed = model.data_preprocessor(batch, training=True)["label"]
    assert torch.equal(mixed[:2, 1], torch.ones(2)) and torch.equal(mixed[:2, 2], torch.zeros(2))
    assert 0 < mixed[0, 0] < 1 and float(mixed[0, 0] + mixed[1, 0]) == pytest.approx(1)
    assert torch.equal(mixed[2], labels[2])
    wrong = config_of("fine-tune", tables, "number")
    wrong.mixing = config.mixing
    with pytest.raises(UserError, match="mixing=None"):
        finetune.check(wrong, "random")


def test_labels_alone_are_learnt_as_pytorch_has_it() -> None:
    raw, label = torch.randn(7, 4), (torch.rand(7, 4) < 0.5).float()
    expected = F.multilabel_soft_margin_loss(raw, label)
    torch.testing.assert_close(SeveralLabels().loss(raw, label), expected)
    several = SeveralLabels().losses(raw[:, None].expand(-1, 3, -1), label)
    torch.testing.assert_close(several.mean(dim=0), expected.expand(3))
    classes = torch.randint(4, (7,))
    torch.testing.assert_close(
        Answers().losses(raw[:, None], classes).mean(), F.cross_entropy(raw, classes)
    )


def test_a_number_is_learnt_in_deviations_and_told_in_its_unit() -> None:
    values = np.float32([[1000.0], [1010.0], [1020.0]])
    answers = answers_of(Targets("number", ("age",), values, "years"))
    assert isinstance(answers, Number) and answers.unit == "years"
    truth = torch.from_numpy(values)
    assert float(answers.loss(torch.tensor([[-1.0], [0.0], [1.0]]), truth)) == 0
    torch.testing.assert_close(answers(torch.tensor([[2.0]])), torch.tensor([[1030.0]]))
    assert not answers.state_dict(), "files of weights stay as they are"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ["ece"]}, "metrics has 'ece'"),
        ({"metrics": ["mae"], "decides": "mae"}, "expected one of r2, spearman"),
        ({"decides": "top1"}, "expected one of r2, spearman"),
    ],
)
def test_metrics_of_other_answers_are_refused(
    changes: dict[str, Any], message: str, tables: Path
) -> None:
    with pytest.raises(UserError, match=message):
        knn.check(config_of("knn", tables, "number", **changes), "random")


def test_sets_that_are_labelled_differently_are_refused(tables: Path) -> None:
    config = config_of("knn", tables, "number")
    config.val_data.columns, config.val_data.unit = COLUMNS["labels"], None
    with pytest.raises(UserError, match="a number, and val images several labels"):
        knn.check(config, "random")


def test_stages_of_classes_refuse_others(tables: Path) -> None:
    config = config_of("knn", tables, "labels")
    own = load_config("few_shot/vit-micro-p6_600ep_demo")
    own.encoder, own.train_data, own.val_data = config.encoder, config.train_data, config.val_data
    with pytest.raises(UserError, match=r"has several labels.*one class each"):
        few_shot.check(own, "random")


def test_a_share_is_drawn_but_not_so_many_of_each_class(tables: Path) -> None:
    config = config_of("low-shot", tables, "number")
    low_shot.check(config, "random")
    config.sets = [{"name": "two", "per_class": 2, "splits": 1}]
    with pytest.raises(UserError, match="take a share"):
        low_shot.check(config, "random")

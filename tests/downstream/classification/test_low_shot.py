from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from downstream.classification.low_shot import check, draw_splits, run
from downstream.outcomes import load_outcomes
from mae_core import UserError
from mae_core.config import load_config
from mae_core.data.images import ImageDataset
from mae_core.data.sources.select import stratified
from mae_core.stage import SilentReporter
from tests.downstream.classification.conftest import on
from tests.downstream.conftest import TINY

SETS = [
    {"name": "2img", "per_class": 2, "splits": 2, "epochs": 1},
    {"name": "20pct", "share": 0.2, "splits": 3},
]


@pytest.fixture
def config(garments: Path) -> Config:
    config = load_config("low_shot/vit-micro-p4_cifar10")
    config.encoder = {**TINY, "img_size": 30}
    for part in (config.train_dataloader.dataset, config.val_dataloader.dataset):
        part.transform.input_size = 30
    for part in (config.train_data, config.val_data):
        part.transform.input_size = 30
    config.train_cfg.max_epochs = 2
    config.sets, config.scratch = SETS, {"train_cfg": {"max_epochs": 3}}
    return on(config, garments)


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "stages" / "low-shot"
    folder.mkdir(parents=True)
    return folder


def test_each_set_is_probed_and_fine_tuned_on_its_splits(config: Config, work_dir: Path) -> None:
    result = run(config, "random", work_dir, SilentReporter())
    names = [f"low-shot/{s}_{m}" for m in ("probe", "finetune") for s in ("2img", "20pct")]
    assert list(result.metrics) == names
    outcomes = load_outcomes(Path(result.artifacts["outcomes"]))
    for name in names:
        assert outcomes[name].shape == (2 if "2img" in name else 3, 80)
        assert result.metrics[name].value == pytest.approx(outcomes[name].mean())
    assert result.metrics["low-shot/20pct_probe"].value > 0.8  # light in a corner is easy
    assert Path(result.artifacts["curve"]).read_bytes()[:4] == b"\x89PNG"


def test_supervised_is_trained_from_scratch_with_its_own_recipe(
    config: Config, work_dir: Path
) -> None:
    config.sets = SETS[1:]
    seen: list[int] = []

    class Steps(SilentReporter):
        def log(self, values, step):  # type: ignore[no-untyped-def]
            seen.append(step)

    result = run(config, "supervised", work_dir, Steps())
    assert list(result.metrics) == ["low-shot/20pct_finetune"]
    assert max(seen) == 3  # epochs of `scratch`, of one step each


def test_splits_are_balanced_differ_and_are_the_same_for_all(config: Config) -> None:
    images = ImageDataset(**config.train_dataloader.dataset)
    first, again = (list(draw_splits(config, images)) for _ in range(2))
    assert [(s.set, s.number) for s in first] == [
        ("2img", 0),
        ("2img", 1),
        ("20pct", 0),
        ("20pct", 1),
        ("20pct", 2),
    ]
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.indices, other.indices)
    for split, count in zip(first, (2, 2, 6, 6, 6), strict=True):
        assert np.bincount(images.labels[split.indices]).tolist() == [count] * 4
    assert not np.array_equal(first[2].indices, first[3].indices)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ([{"name": "a", "splits": 1, "per_class": 31}], "30 images, per_class asks for 31"),
        ([{"name": "a", "splits": 1, "share": 0.01}], "1.0% of the 30 images of class-0 is none"),
        ([{"name": "a", "splits": 1}], "per_class or share"),
        ([{"name": "a", "splits": 1, "share": 0.5, "per_class": 2}], "per_class or share"),
        ([{"name": "a", "splits": 1, "sahre": 0.5}], "per_class or share"),
        ([{"name": "a", "splits": 1, "names_in": "list.txt"}], "names_in alone"),
        ([{"name": "a", "names_in": "list.txt", "share": 0.5}], "names_in alone"),
    ],
)
def test_what_cannot_be_drawn_is_told_before_anything_runs(
    config: Config, sets: list[dict], message: str
) -> None:
    config.sets = sets
    with pytest.raises(UserError, match=message):
        check(config, "random")


def listing(garments: Path, classes: int = 4) -> str:
    """A list of two files of each class, named as in ImageNet, by file alone."""
    for label in range(4):
        for i in (3, 8):
            image = garments / "train" / f"class-{label}" / f"{i}.png"
            image.rename(image.with_name(f"class-{label}_{i}.png"))
    lines = [f"class-{label}_{i}.png" for i in (8, 3) for label in range(classes)]
    (garments / "2percent.txt").write_text("\n".join(lines) + "\n")
    return str(garments / "2percent.txt")


def test_a_published_list_is_one_split(config: Config, garments: Path, work_dir: Path) -> None:
    config.sets = [{"name": "list", "names_in": listing(garments)}]
    config.methods = ("probe",)
    check(config, "random")
    images = ImageDataset(**config.train_dataloader.dataset)
    (split,) = draw_splits(config, images)
    found = {Path(images.source.name(int(i))).name for i in split.indices}
    assert found == {f"class-{label}_{i}.png" for label in range(4) for i in (3, 8)}
    result = run(config, "random", work_dir, SilentReporter())
    assert list(result.metrics) == ["low-shot/list_probe"]


def test_a_list_that_lacks_a_class_or_an_image_is_the_users_mistake(
    config: Config, garments: Path
) -> None:
    path = listing(garments, classes=3)
    config.sets = [{"name": "list", "names_in": path}]
    with pytest.raises(UserError, match="no image of 1 classes, such as 'class-3'"):
        check(config, "random")
    Path(path).write_text("class-0_8.png\nclass-0_77.png\n")
    with pytest.raises(UserError, match=r"2percent\.txt, line 2: .* no image 'class-0_77\.png'"):
        check(config, "random")
    config.sets = [{"name": "list", "names_in": str(garments / "none.txt")}]
    with pytest.raises(UserError, match=r"none\.txt cannot be read"):
        check(config, "random")


def test_the_config_of_simclrs_lists_has_both() -> None:
    sets = load_config("low_shot/vit-base-p16_in1k-lists").sets
    assert [Path(entry.names_in).name for entry in sets] == ["1percent.txt", "10percent.txt"]


def test_supervised_without_a_recipe_is_the_users_mistake(config: Config) -> None:
    config.pop("scratch")
    with pytest.raises(UserError, match="no section `scratch`"):
        check(config, "supervised")
    config.methods = ("probe", "finetuning")
    with pytest.raises(UserError, match="finetuning"):
        check(config, "random")


@given(
    counts=st.lists(st.integers(10, 40), min_size=1, max_size=4),
    part=st.floats(0.1, 1),
    seed=st.integers(0, 99),
)
def test_a_share_is_the_same_of_each_class(counts: list[int], part: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    chosen = stratified(labels, [str(i) for i in range(len(counts))], part, seed)
    assert len(set(chosen.tolist())) == len(chosen)
    assert np.bincount(labels[chosen]).tolist() == [round(part * n) for n in counts]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("pool", "mean", "pool='mean': expected 'avg'"),
        ("layer", 2, "layer=2: the encoder has layers 0 to 1"),
        ("layer", "best", "layer='best': low-shot does not choose one"),
    ],
)
def test_features_that_the_probe_cannot_have_are_told_before_anything_runs(
    config: Config, key: str, value: str | int, message: str
) -> None:
    check(config, "random")
    config[key] = value
    with pytest.raises(UserError, match=message):
        check(config, "random")


def test_the_probes_pooling_must_be_one_of_the_rows_own_encoder(config: Config) -> None:
    config.pool = "cls"
    check(config, "random")
    with pytest.raises(UserError, match="pool='cls': expected one of those that test_resnet has"):
        check(config, "timm:test_resnet@random")

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from safetensors.torch import save_file

from downstream.classification.classifier import Classifier
from downstream.classification.evaluate import check, open_set, run
from downstream.classification.imagenet import ALEXNET
from downstream.classification.load import load_classifier
from downstream.outcomes import load_outcomes
from mae_core import UserError, create_encoder
from mae_core.checkpoints import save_weights
from mae_core.config import load_config
from mae_core.data.crops import CentralCrop
from mae_core.data.normalize import Normalize
from mae_core.stage import SilentReporter
from tests.downstream.conftest import TINY

PIXELS = {"mean": [72.9] * 3, "std": [90.0] * 3}
CLASSES = [f"class-{i}" for i in range(4)]


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """Four classes; its first weights are chance, but not the same for all images."""
    torch.manual_seed(0)
    model = Classifier(create_encoder(**TINY, img_size=30), 4, Normalize(**PIXELS), head_std=1.0)
    path = tmp_path / "classifier.safetensors"
    about = {"encoder": model.encoder.config, "classes": CLASSES, "pool": "avg", "pixels": PIXELS}
    save_weights(path, model, **about)
    return path


@pytest.fixture
def config(garments: Path) -> Config:
    config = load_config("evaluate/vit-base-p16_in1k")
    config.encoder = {**TINY, "img_size": 30}
    config.transform.update(input_size=30, crop_pct=1.0)
    config.update(num_workers=0, batch_size=16, pixels={"mean": [0.0] * 3, "std": [1.0] * 3})
    config.sets = [{"name": "val", "data": str(garments / "val")}]
    return config


def logits(path: Path, config: Config, entry: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """Computed one image at a time."""
    model, _ = load_classifier(str(path), config.encoder, PIXELS)  # the file's, not the config's
    model.eval()
    images = open_set(entry, config)
    items = [model.data_preprocessor({"inputs": i["inputs"][None]})["inputs"] for i in images]
    with torch.inference_mode():
        found = [model.head(model.features(item)) for item in items]
    return torch.cat(found), torch.from_numpy(images.labels)


def test_top_1_is_that_of_one_image_at_a_time(
    classifier: Path, config: Config, tmp_path: Path
) -> None:
    result = run(config, str(classifier), tmp_path, SilentReporter())
    found, labels = logits(classifier, config, config.sets[0])
    expected = (found.argmax(1) == labels).numpy()
    outcomes = load_outcomes(Path(result.artifacts["outcomes"]))
    assert outcomes["evaluate/val"].tolist() == expected.tolist()
    assert result.metrics["evaluate/val"].value == pytest.approx(expected.mean())
    assert 0 < expected.mean() < 1


def test_only_the_classes_of_a_subset_compete(
    classifier: Path, config: Config, garments: Path, tmp_path: Path
) -> None:
    for name in ("0", "2"):  # numbers of the classes, not their names
        shutil.copytree(garments / "val" / f"class-{name}", garments / "part" / name)
    config.sets = [{"name": "a", "data": str(garments / "part"), "subset": True}]
    result = run(config, str(classifier), tmp_path, SilentReporter())
    found, labels = logits(classifier, config, config.sets[0])
    expected = (found[:, [0, 2]].argmax(1) == labels).float().mean()
    assert result.metrics["evaluate/a"].value == pytest.approx(float(expected))
    config.sets = [{"name": "a", "data": str(garments / "part")}]
    with pytest.raises(UserError, match="has 2 of the classifier's 4 classes"):
        check(config, str(classifier))


def corrupt(garments: Path, images: int) -> None:
    """As ImageNet-C: each image of val at 15 corruptions and 5 severities; which see them alike."""
    for name in ALEXNET:
        for severity in range(1, 6):
            for label in CLASSES:
                folder = garments / "c" / name / str(severity) / label
                folder.mkdir(parents=True)
                for number in range(images):
                    shutil.copy(garments / "val" / label / f"{number}.png", folder)


def test_copies_of_an_image_are_one_case(
    classifier: Path, config: Config, garments: Path, tmp_path: Path
) -> None:
    """Copies that are right or wrong together tell no more than the image itself."""
    corrupt(garments, images=10)
    config.sets = [{"name": "c", "data": str(garments / "c"), "corrupted": True}]
    result = run(config, str(classifier), tmp_path, SilentReporter())
    outcomes = load_outcomes(Path(result.artifacts["outcomes"]))
    assert outcomes["evaluate/mCE"].shape == (40,)
    rng = np.random.default_rng(1)
    for name in ("evaluate/c", "evaluate/mCE", "evaluate/c_fog"):
        cases = outcomes[name]
        means = cases[rng.integers(0, 40, (4000, 40))].mean(axis=1)
        low, high = np.quantile(means, (0.025, 0.975))
        metric = result.metrics[name]
        assert metric.value == pytest.approx(cases.mean())
        assert metric.ci95 == pytest.approx((high - low) / 2, rel=0.1)
    share_of_copies = 1.96 * (outcomes["evaluate/c"].var() / 3000) ** 0.5
    ci95 = result.metrics["evaluate/c"].ci95
    assert ci95 is not None and ci95 > 8 * share_of_copies  # the root of 75 is 8.7


def test_a_set_has_a_transform_of_its_own(config: Config, garments: Path, tmp_path: Path) -> None:
    """Files as large as the input come whole and unchanged where nothing is cut off."""
    config.transform.crop_pct = 0.875
    entry = {"name": "c", "data": str(garments / "val"), "transform": {"crop_pct": 1.0}}
    stored = np.asarray(Image.open(garments / "val" / "class-0" / "0.png").convert("RGB"))
    whole = open_set(entry, config)[0]["inputs"].permute(1, 2, 0).numpy()
    assert np.array_equal(whole, stored)
    del entry["transform"]
    cropped = open_set(entry, config)[0]["inputs"].permute(1, 2, 0).numpy()
    assert not np.array_equal(cropped, stored)


@pytest.mark.parametrize("size", ["base-p16", "large-p16", "huge-p14"])
def test_imagenet_c_is_taken_as_it_is_and_the_others_are_cropped(size: str) -> None:
    """hendrycks/robustness, ImageNet-C/test.py: CenterCrop(224); val: Resize(256) before it."""
    config = load_config(f"evaluate/vit-{size}_in1k")
    for entry in config.sets:
        transform = {**config.transform, **entry.get("transform", {})}
        crop = CentralCrop((224, 224), transform["crop_pct"])((224, 224), 0)
        expected = (224, 224) if entry["name"] == "c" else (256, 256)
        assert (transform["input_size"], crop.resized) == (224, expected)


def test_corruptions_give_mce(
    classifier: Path, config: Config, garments: Path, tmp_path: Path
) -> None:
    corrupt(garments, images=1)
    config.sets = [{"name": "c", "data": str(garments / "c"), "corrupted": True}]
    metrics = run(config, str(classifier), tmp_path, SilentReporter()).metrics
    error = 1 - metrics["evaluate/c"].value
    expected = sum(error / alexnet for alexnet in ALEXNET.values()) / 15
    assert metrics["evaluate/mCE"].value == pytest.approx(expected)
    assert metrics["evaluate/c_fog"].value == pytest.approx(1 - error)
    assert len(metrics) == 17
    shutil.rmtree(garments / "c" / "snow" / "3")
    with pytest.raises(UserError, match="missing or short: snow"):
        check(config, str(classifier))


def test_a_file_in_the_official_layout_is_the_same_classifier(
    classifier: Path, config: Config, tmp_path: Path
) -> None:
    """facebookresearch/mae: timm's names, fc_norm, no norm, wrapped in a dict."""
    ours, _ = load_classifier(str(classifier), config.encoder, PIXELS)
    state = {k.removeprefix("encoder."): v for k, v in ours.state_dict().items()}
    official = {f"fc_{k}" if k.startswith("norm.") else k: v for k, v in state.items()}
    torch.save({"model": official}, tmp_path / "finetuned.pth")
    theirs, classes = load_classifier(str(tmp_path / "finetuned.pth"), config.encoder, PIXELS)
    assert theirs.pool == "avg" and classes == ["0", "1", "2", "3"]
    images = torch.randn(2, 3, 30, 30)
    unused = torch.zeros(2)
    assert torch.equal(theirs.eval()(images, unused), ours.eval()(images, unused))


def test_a_file_without_a_head_or_a_weight_is_the_users_mistake(
    classifier: Path, config: Config, tmp_path: Path
) -> None:
    encoder = create_encoder(**config.encoder)
    save_weights(tmp_path / "encoder.safetensors", encoder, encoder=encoder.config)
    with pytest.raises(UserError, match="has no head"):
        check(config, str(tmp_path / "encoder.safetensors"))
    model, _ = load_classifier(str(classifier), config.encoder, PIXELS)
    state = {k: v for k, v in model.state_dict().items() if "blocks.1.mlp.fc1" not in k}
    save_file(state, tmp_path / "part.safetensors")
    with pytest.raises(UserError, match=r"lacks weights .*encoder\.blocks\.1\.mlp\.fc1"):
        check(config, str(tmp_path / "part.safetensors"))
    state = model.state_dict() | {"encoder.blocks.0.ls1.gamma": torch.ones(192)}
    save_file(state, tmp_path / "odd.safetensors")
    with pytest.raises(UserError, match=r"no classifier has here: .*blocks\.0\.ls1\.gamma"):
        check(config, str(tmp_path / "odd.safetensors"))


def test_a_set_of_other_classes_is_told_before_anything_runs(
    classifier: Path, config: Config, garments: Path
) -> None:
    (garments / "val" / "class-3").rename(garments / "val" / "hat")
    check(config, "random")  # stands in for a classifier that is still to be trained
    with pytest.raises(UserError, match="the class 'hat'"):
        check(config, str(classifier))


def test_a_set_is_chosen_as_any_other(config: Config) -> None:
    whole = len(open_set(config.sets[0], config))
    config.sets[0].update(part=(0.0, 0.5), seed=3)
    half = open_set(config.sets[0], config)
    assert len(half) == whole // 2 and half.classes == CLASSES
    config.sets[0].update(part=None, per_class=2)
    assert len(open_set(config.sets[0], config)) == 8


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"prt": (0, 1)}, "the set 'val' has no field 'prt': did you mean 'part'"),
        ({"name": 5}, "name"),
    ],
)
def test_a_set_with_a_key_that_means_nothing_is_refused(
    config: Config, more: dict, message: str
) -> None:
    config.sets[0].update(more)
    with pytest.raises(UserError, match=message):
        check(config, "random")


def test_two_sets_of_one_name_are_refused(config: Config) -> None:
    config.sets = [config.sets[0], config.sets[0]]
    with pytest.raises(UserError, match="sets has val more than once"):
        check(config, "random")


def test_copies_of_an_image_are_of_one_group(config: Config, garments: Path) -> None:
    corrupt(garments, images=1)
    entry = {"name": "c", "data": str(garments / "c"), "corrupted": True}
    config.sets = [entry | {"group": r"([^/]+)\.png"}]
    check(config, "random")
    config.sets = [entry | {"group": r"^([^/]+)/"}]
    with pytest.raises(UserError, match="are copies of one image in two groups"):
        check(config, "random")

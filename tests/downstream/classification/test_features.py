import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from PIL import Image

from downstream.classification import features
from downstream.classification.features import (
    check_features,
    train_and_val_features,
)
from mae_core import UserError, create_encoder
from mae_core.checkpoints import save_weights
from mae_core.data.images import ImageDataset
from mae_core.encoders.vit import ViTEncoder
from mae_core.stage import SilentReporter
from tests.downstream.conftest import TINY


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "stages" / "one"
    folder.mkdir(parents=True)
    return folder


def stored(work_dir: Path) -> int:
    return len(list((work_dir.parent / "features").glob("*.npz")))


def test_features_are_the_encoders_on_every_image(features_config: Config, work_dir: Path) -> None:
    train, val = train_and_val_features(features_config, "random", work_dir, SilentReporter())
    assert train.x.shape == (120, TINY["width"])
    assert val.y.tolist() == [label for label in range(4) for _ in range(20)]
    assert train.classes == val.classes == tuple(f"class-{i}" for i in range(4))


@pytest.mark.parametrize("arch", ["pixels", "rcf"])
@pytest.mark.parametrize("layer", [None, 0, "best"])
def test_an_encoder_without_weights_has_features_of_one_layer(
    features_config: Config, work_dir: Path, arch: str, layer: Any
) -> None:
    features_config.encoder = {"arch": arch, "img_size": 30, "in_chans": 3}
    features_config.update(pool="own", layer=layer, held_out=0.2)
    train, _ = train_and_val_features(features_config, "random", work_dir, SilentReporter())
    images = ImageDataset(**features_config.train_data)
    pixels = torch.stack([images[i]["inputs"] for i in range(len(images))]).float()
    mean, std = (torch.tensor(features_config.pixels[k])[:, None, None] for k in ("mean", "std"))
    torch.manual_seed(features_config.seed)  # which draws the filters
    expected = create_encoder(arch, img_size=30).pooled((pixels - mean) / std)
    torch.testing.assert_close(train.x, expected)
    assert train.columns == ((0, expected.shape[1]),)


def test_features_that_are_no_numbers_are_no_result(
    features_config: Config, work_dir: Path, tmp_path: Path
) -> None:
    encoder = create_encoder(**features_config.encoder)
    encoder.norm.weight.data.fill_(1e38)  # finite, but what follows overflows
    encoder.norm.bias.data.fill_(3e38)
    path = tmp_path / "large.safetensors"
    save_weights(path, encoder, encoder=encoder.config)
    with pytest.raises(UserError, match=r"not finite for \d+ of 120 train images"):
        train_and_val_features(features_config, str(path), work_dir, SilentReporter())
    assert stored(work_dir) == 0


def test_the_second_call_reads_the_cache(features_config: Config, work_dir: Path) -> None:
    first, _ = train_and_val_features(features_config, "random", work_dir, SilentReporter())
    assert stored(work_dir) == 2
    second, _ = train_and_val_features(features_config, "random", work_dir, SilentReporter())
    assert stored(work_dir) == 2
    assert torch.equal(first.x, second.x)


def test_other_code_computes_features_anew(
    features_config: Config, work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_and_val_features(features_config, "random", work_dir, SilentReporter())
    monkeypatch.setattr(features, "CODE", "other")
    monkeypatch.setattr(ViTEncoder, "pooled", lambda model, images, pool: 0 * model(images)[:, 0])
    train, _ = train_and_val_features(features_config, "random", work_dir, SilentReporter())
    assert not train.x.any() and stored(work_dir) == 4


@pytest.mark.parametrize("back", [False, True])
def test_features_of_images_that_change_meanwhile_are_not_kept(
    features_config: Config,
    work_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    back: bool,
) -> None:
    for split in ("train_data", "val_data"):
        shutil.copytree(features_config[split].data, tmp_path / split)
        features_config[split].data = str(tmp_path / split)
    compute = features.extract

    def meddle(model: ViTEncoder, dataset: ImageDataset, *rest: Any) -> torch.Tensor:
        image = next((tmp_path / "train_data").rglob("*.png"))
        content = image.read_bytes()
        image.write_bytes(content + b" ")
        found = compute(model, dataset, *rest)
        if back:
            image.write_bytes(content)
        return found

    monkeypatch.setattr(features, "extract", meddle)
    train_and_val_features(features_config, "random", work_dir, SilentReporter())
    assert stored(work_dir) == 0


@pytest.mark.parametrize("key", ["seed", "pool", "pixels", "encoder", "its pixels"])
def test_whatever_changes_the_features_misses_the_cache(
    features_config: Config, work_dir: Path, tmp_path: Path, key: str
) -> None:
    source = "random"
    encoder = create_encoder(**features_config.encoder)
    if key == "its pixels":
        source = str(tmp_path / "a" / "model.safetensors")
        Path(source).parent.mkdir()
        save_weights(source, encoder)
    first, _ = train_and_val_features(features_config, source, work_dir, SilentReporter())
    if key == "seed":
        features_config.seed = 1
    elif key == "pixels":
        features_config.pixels.mean = [0.0] * 3
    elif key == "its pixels":
        said = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        (Path(source).parent / "preprocessor_config.json").write_text(json.dumps(said))
    elif key == "pool":
        features_config.pool = "cls"
    else:
        source = str(tmp_path / "encoder.safetensors")
        save_weights(source, encoder, encoder=encoder.config)
    second, _ = train_and_val_features(features_config, source, work_dir, SilentReporter())
    assert stored(work_dir) == 4
    assert not torch.equal(first.x, second.x)


def test_few_train_images_of_each_class_are_the_runs(
    features_config: Config, work_dir: Path
) -> None:
    features_config.train_data.per_class = 5
    found = []
    for seed in (0, 1):
        features_config.seed = seed
        images, _ = check_features(features_config, "random")
        found.append([images.source.name(i) for i in range(len(images))])
        train_and_val_features(features_config, "random", work_dir, SilentReporter())
    assert found[0] != found[1] and len(found[0]) == len(found[1]) == 20
    assert stored(work_dir) == 4


@pytest.mark.parametrize("key", ["threads", "batch_size"])
def test_features_of_other_threads_or_batches_are_kept_apart(
    features_config: Config, work_dir: Path, key: str
) -> None:
    """Their last digits may differ."""
    for value in (1, 2, 1):
        features_config[key] = value
        train_and_val_features(features_config, "random", work_dir, SilentReporter())
    assert stored(work_dir) == 4


def test_a_damaged_cache_is_computed_anew(features_config: Config, work_dir: Path) -> None:
    first, _ = train_and_val_features(features_config, "random", work_dir, SilentReporter())
    for file in (work_dir.parent / "features").glob("*.npz"):
        file.write_bytes(file.read_bytes()[:-50])
    second, _ = train_and_val_features(features_config, "random", work_dir, SilentReporter())
    assert torch.equal(first.x, second.x)


def test_features_do_not_depend_on_batches_or_workers(
    features_config: Config, work_dir: Path
) -> None:
    first, _ = train_and_val_features(features_config, "random", work_dir, SilentReporter())
    for file in (work_dir.parent / "features").glob("*.npz"):
        file.unlink()
    features_config.update(batch_size=7, num_workers=1)
    second, _ = train_and_val_features(features_config, "random", work_dir, SilentReporter())
    torch.testing.assert_close(first.x, second.x)


def test_a_class_without_an_image_is_the_users_mistake(
    features_config: Config, garments: Path
) -> None:
    names = [f"class-{i}/{j}.png" for i in range(3) for j in range(5)]
    (garments / "list.txt").write_text("\n".join(names))
    features_config.val_data.names_in = str(garments / "list.txt")
    with pytest.raises(UserError, match="val has no image of 1 of its 4 classes: class-3"):
        check_features(features_config, "random")


def test_other_classes_in_val_are_the_users_mistake(
    features_config: Config, work_dir: Path, garments: Path
) -> None:
    (garments / "val" / "hat").mkdir()
    Image.new("L", (30, 30)).save(garments / "val" / "hat" / "0.png")
    with pytest.raises(UserError, match="hat"):
        train_and_val_features(features_config, "random", work_dir, SilentReporter())


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        ("mean", r"expected 'avg', 'cls', 'cls\+avg', 'own', or 'last'"),
        ("last0", r"expected 'avg', 'cls', 'cls\+avg', 'own', or 'last'"),
        ("last3", "the encoder has 2 blocks"),
        (None, "pool=None: expected the name"),
    ],
)
def test_a_pool_that_cannot_be_is_told_before_anything_runs(
    features_config: Config, pool: str | None, message: str
) -> None:
    features_config.pool = pool
    with pytest.raises(UserError, match=message):
        check_features(features_config, "random")

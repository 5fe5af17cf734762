"""A stage's config as it counts for an encoder: what is the weights' own, and what is told."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from mae_core import UserError, create_encoder
from mae_core.checkpoints import build_encoder, check_sizes, save_encoder, save_weights
from mae_core.data.transform import Transform
from mae_core.encoders import Encoder
from mae_core.for_encoder import own_preprocessing, with_encoder
from mae_core.names import FILELESS, has_file
from mae_core.stage import SilentReporter

FIELDS = {"arch": "vit-micro-p6", "width": 16, "depth": 1, "heads": 2, "img_size": 12}
OTHER = {"mean": [10.0, 20.0, 30.0], "std": [40.0, 50.0, 60.0]}
HALF = {"mean": [127.5] * 3, "std": [127.5] * 3}
SQUARE = {"input_size": [24, 24], "interpolation": "bicubic", "crop_pct": 0.9}
NET = "timm:test_convnext.r160_in1k@random"


class Notes(SilentReporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def saved(path: Path, **about: Any) -> str:
    path.parent.mkdir(exist_ok=True)
    save_weights(path, create_encoder(**FIELDS), **about)
    return str(path)


def written(path: Path, arch: str, about: dict[str, Any] | None = None, **fields: Any) -> str:
    """The file of an encoder that says what it is."""
    save_encoder(path, create_encoder(arch, **fields), **(about or {}))
    return str(path)


def images(**transform: Any) -> dict[str, Any]:
    return {"data": "somewhere", "transform": {"input_size": 12, **transform}}


@pytest.fixture
def config() -> Config:
    return Config({"pixels": OTHER, "protocol": "own", "encoder": FIELDS})


def test_the_encoders_own_are_taken_over_and_told_once(config: Config, tmp_path: Path) -> None:
    path, reporter = saved(tmp_path / "a.safetensors", pixels=HALF), Notes()
    used = with_encoder(config, path, reporter)
    assert used.pixels == HALF and config.pixels == OTHER
    assert with_encoder(used, path, reporter) is used
    (note,) = reporter.notes
    for said in (path, "127.5, 127.5, 127.5", "10, 20, 30", "protocol='same'"):
        assert said in note


@pytest.mark.parametrize(
    "about", [{}, {"pixels": {"mean": [10.0, 20.0, 30.0001], "std": [40.0, 50.0, 60.0]}}]
)
def test_nothing_is_told_where_nothing_changes(
    config: Config, tmp_path: Path, about: dict[str, Any]
) -> None:
    reporter = Notes()
    path = saved(tmp_path / "a.safetensors", **about)
    for encoder in (path, "random"):
        assert with_encoder(config, encoder, reporter).pixels == OTHER
    assert reporter.notes == []


def test_the_users_choice_wins(config: Config, tmp_path: Path) -> None:
    config.protocol = "same"
    path = saved(tmp_path / "a.safetensors", pixels=HALF)
    assert with_encoder(config, path).pixels == OTHER


def test_pixels_of_other_channels_stay_the_configs(config: Config, tmp_path: Path) -> None:
    reporter = Notes()
    path = saved(tmp_path / "a.safetensors", pixels={"mean": [1.0], "std": [2.0]})
    assert with_encoder(config, path, reporter).pixels == OTHER
    assert "other channels" in reporter.notes[0]


@pytest.fixture
def full(config: Config) -> Config:
    """With images of all kinds: trained on, tested on, and those of `evaluate` and `suite`."""
    parts = {
        "train_dataloader": {"dataset": images(is_training=True, interpolation="bilinear")},
        "val_data": images(crop_pct=1.0),
        "datasets": [{"name": "a", "train_data": images(), "val_data": images()}],
        "transform": {"input_size": 12, "crop_pct": 1.0},
        "sets": [
            {"name": "plain", "data": "there"},
            {"name": "c", "data": "there", "transform": {"crop_pct": 0.5}},
            {"name": "larger", "data": "there", "transform": {"input_size": 18}},
        ],
    }
    return Config({**config.to_dict(), **parts})


def test_another_family_is_taken_from_the_file(config: Config, tmp_path: Path) -> None:
    config.encoder = {**config.encoder, "drop_path": 0.1, "img_size": 66}
    path, reporter = written(tmp_path / "a.safetensors", "timm:test_convnext.r160_in1k"), Notes()
    used = with_encoder(config, path, reporter)
    assert used.encoder.to_dict() == {
        "arch": "timm:test_convnext.r160_in1k",
        "img_size": 66,
        "in_chans": 3,
        "drop_path": 0.1,
    }
    assert build_encoder(used.encoder, path).family == "timm"
    assert len(reporter.notes) == 1 and "in place of the config's vit-micro-p6" in reporter.notes[0]
    assert with_encoder(used, path, reporter) is used and len(reporter.notes) == 1


def test_other_sizes_are_taken_from_the_file(config: Config, tmp_path: Path) -> None:
    fields = {"patch_size": 4, "width": 32, "depth": 2, "heads": 2, "mlp_ratio": 2.0}
    path, reporter = written(tmp_path / "a.safetensors", "vit-micro-p6", **fields), Notes()
    with pytest.raises(UserError, match="patch_size=4, the config asks for"):
        check_sizes(config.encoder, path)
    used = with_encoder(config, path, reporter)
    assert build_encoder(used.encoder, path).config == {
        **fields,
        "img_size": [12, 12],
        "in_chans": 3,
    }
    for said in ("patch_size=4 (6)", "depth=2 (1)", "mlp_ratio=2.0 (4.0)"):
        assert said in reporter.notes[0]


def test_patches_that_may_be_resampled_stay_the_configs(config: Config, tmp_path: Path) -> None:
    config.resample_patches = True
    fields = {**FIELDS, "patch_size": 4}
    path = written(tmp_path / "a.safetensors", **fields)  # type: ignore[arg-type]
    assert with_encoder(config, path) is config


def test_names_of_blocks_that_are_not_there_are_dropped(config: Config, tmp_path: Path) -> None:
    names = [f"encoder.blocks.{number}" for number in range(3)]
    config.encoder.depth, config.activation_checkpointing = 3, [*names, "head"]
    shallow = written(tmp_path / "a.safetensors", **{**FIELDS, "depth": 2})  # type: ignore[arg-type]
    assert with_encoder(config, shallow).activation_checkpointing == [*names[:2], "head"]
    reporter = Notes()
    assert with_encoder(config, NET, reporter).activation_checkpointing == ["head"]
    assert any("activation_checkpointing names blocks" in note for note in reporter.notes)


def test_size_interpolation_and_crop_are_the_weights_own(full: Config, tmp_path: Path) -> None:
    path, reporter = saved(tmp_path / "a.safetensors", preprocessing=SQUARE), Notes()
    used = with_encoder(full, path, reporter)
    assert used.encoder.img_size == [24, 24]
    train = used.train_dataloader.dataset.transform
    assert train == {"input_size": [24, 24], "is_training": True, "interpolation": "bilinear"}
    for transform in (used.val_data.transform, used.datasets[0].val_data.transform, used.transform):
        assert transform == SQUARE
        assert Transform(transform, 3).cropper.target == [26, 26]  # type: ignore[attr-defined]
    own = [one.get("transform", {}) for one in used.sets]
    assert own == [{}, {"crop_pct": 0.5}, {"input_size": [24, 24]}]
    (note,) = reporter.notes
    assert all(said in note for said in ("24×24", "bicubic", "crop_pct=0.9", "protocol='same'"))
    assert with_encoder(used, path, reporter) is used and reporter.notes == [note]


def test_of_larger_images_fewer_are_looked_at_together(full: Config, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.safetensors", preprocessing=SQUARE)
    full.batch_size, full.train_dataloader.batch_size = 10, 8
    full.val_dataloader = {"batch_size": 3, "dataset": images()}
    used = with_encoder(full, path)
    assert (used.batch_size, used.val_dataloader.batch_size) == (2, 1)
    assert used.train_dataloader.batch_size == 8
    assert with_encoder(used, path) is used


def test_the_same_protocol_leaves_the_images_and_takes_the_architecture(full: Config) -> None:
    full.protocol = "same"
    used = with_encoder(full, NET)
    assert used.encoder.pop("arch") == NET.removesuffix("@random")
    assert used.encoder == {"img_size": 12, "in_chans": 3}
    untouched = {key: value for key, value in full.to_dict().items() if key != "encoder"}
    assert {key: value for key, value in used.to_dict().items() if key != "encoder"} == untouched


def test_an_architecture_by_name_has_what_its_published_weights_saw(full: Config) -> None:
    used = with_encoder(full, NET)
    assert used.encoder.img_size == used.val_data.transform.input_size == [160, 160]
    assert used.val_data.transform.crop_pct == 0.95
    assert used.pixels.mean == [127.5] * 3


@pytest.mark.parametrize("name", ["pixels", "rcf"])
def test_trivial_encoders_see_the_configs_images(full: Config, name: str) -> None:
    used = with_encoder(full, name)
    found = used.encoder
    assert (found.arch, found.img_size, found.in_chans) == (name, 12, 3)
    assert used.val_data == full.val_data and used.pixels == full.pixels


def test_grey_images_are_read_as_rgb_for_an_encoder_of_colours(full: Config) -> None:
    full.encoder.in_chans = 1
    full.pixels = {"mean": [10.0], "std": [20.0]}
    full.val_data.in_chans = full.train_dataloader.dataset.in_chans = 1
    used = with_encoder(full, NET)
    sets = [used.encoder, used.val_data, used.train_dataloader.dataset]
    assert [one.in_chans for one in sets] == [3, 3, 3] and len(used.pixels.mean) == 3
    full.protocol = "same"
    used = with_encoder(full, NET)
    assert (used.encoder.in_chans, used.val_data.in_chans, used.pixels.mean) == (1, 1, [10.0])
    full.protocol = "own"
    assert with_encoder(full, "pixels").encoder.in_chans == 1


def test_other_numbers_of_channels_stay_the_datas(full: Config) -> None:
    full.encoder.in_chans = 2
    full.pixels = {"mean": [10.0, 20.0], "std": [20.0, 30.0]}
    reporter = Notes()
    used = with_encoder(full, NET, reporter)
    assert used.encoder.in_chans == 2 and used.pixels == full.pixels
    assert any("trained on other channels" in note for note in reporter.notes)


@pytest.mark.parametrize(
    "odd",
    [
        "large",
        {**SQUARE, "input_size": [24]},
        {**SQUARE, "input_size": [0, 24]},
        {**SQUARE, "interpolation": "nearest"},
        {**SQUARE, "crop_pct": 1.5},
        {**SQUARE, "crop_pct": True},
    ],
)
def test_a_file_that_says_nonsense_of_its_images_is_refused(
    config: Config, tmp_path: Path, odd: Any
) -> None:
    path = saved(tmp_path / "a.safetensors", preprocessing=odd)
    with pytest.raises(UserError, match="says it was trained with preprocessing="):
        with_encoder(config, path)


def test_an_unknown_architecture_is_told_with_the_nearest(config: Config) -> None:
    with pytest.raises(UserError, match=r"no model called 'resnet5'.*resnet50"):
        with_encoder(config, "timm:resnet5@random")


def test_names_without_a_file() -> None:
    assert not any(map(has_file, (*FILELESS, NET)))
    assert all(map(has_file, ("a.pth", "timm:resnet50@a.pth", "/x@random", "random.pth")))


def test_no_encoder_is_built_as_another(config: Config) -> None:
    for encoder in ("pixels", NET):
        with pytest.raises(UserError, match="is no vit-micro-p6"):
            build_encoder(config.encoder.to_dict(), encoder)
        built: Encoder = build_encoder(with_encoder(config, encoder).encoder, encoder)
        assert built(torch.rand(1, 3, *built.img_size)).isfinite().all()


def test_images_of_bands_keep_their_pixels_and_are_told_how_rgb_fits(
    full: Config, tmp_path: Path
) -> None:
    full.encoder.update(in_chans=5, rgb_bands={"red": 3, "green": 2, "blue": 1})
    full.pixels = {"mean": [1000.0] * 5, "std": [200.0] * 5}
    full.val_data.update(bands="all", in_chans=5)
    reporter, path = Notes(), written(tmp_path / "a.safetensors", **FIELDS, about={"pixels": HALF})
    used = with_encoder(full, path, reporter)
    assert used.pixels == full.pixels and used.encoder == full.encoder
    assert any("placed at red=3, green=2, blue=1" in note for note in reporter.notes)
    assert any("normalised with the config's mean 1000" in note for note in reporter.notes)
    found = build_encoder(used.encoder.to_dict(), path)
    assert found.config["in_chans"] == 5


def test_a_single_band_is_no_grey_image_to_be_read_as_rgb(full: Config, tmp_path: Path) -> None:
    full.encoder.in_chans = 1
    full.pixels = {"mean": [1000.0], "std": [200.0]}
    full.val_data.update(bands=[4])
    used = with_encoder(full, written(tmp_path / "a.safetensors", **FIELDS))
    assert used.encoder.in_chans == 1 and used.pixels == full.pixels


@pytest.mark.parametrize("as_stored", [True, False])
def test_pixels_of_stored_numbers_do_not_reach_images_of_eight_bits(
    config: Config, tmp_path: Path, as_stored: bool
) -> None:
    reflectance = {"mean": [0.2] * 3 if as_stored else [1353.0] * 3, "std": [0.1] * 3}
    about = {"pixels": reflectance, **({"as_stored": True} if as_stored else {})}
    reporter, path = Notes(), saved(tmp_path / "a.safetensors", **about)
    assert with_encoder(config, path, reporter).pixels == OTHER
    assert "images of 0 to 255 are normalised with the config's" in reporter.notes[-1]


def test_what_is_trained_on_stored_numbers_says_so(full: Config) -> None:
    assert own_preprocessing(full, "random") == {}
    full.val_data.update(bands="all")
    assert own_preprocessing(full, "random") == {"as_stored": True}

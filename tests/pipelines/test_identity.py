import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from mae_core import UserError, source_code
from mae_core.config import load_config
from mae_core.data.roots import path_digest
from pipelines.identity import (
    code_version,
    data_roots,
    fingerprint,
    fingerprint_of,
    inputs,
    settings,
)
from pipelines.report.protocol import protocol
from tests.packages import write_metadata


@pytest.fixture
def config(tmp_path: Path, configs: Path, images: Path) -> Config:
    shutil.copytree(images, tmp_path / "images")
    config = load_config(str(configs / "knn.py"))
    config.train_data.data = str(tmp_path / "images" / "train")
    return config


def new_process() -> None:
    """Forget what a process remembers for its life."""
    path_digest.cache_clear()
    code_version.cache_clear()


def test_the_same_work_has_the_same_fingerprint(config: Config) -> None:
    first = fingerprint(config, "random")
    new_process()
    assert fingerprint(Config(config.to_dict()), "random") == first


def test_another_config_has_another_fingerprint(config: Config) -> None:
    first = fingerprint(config, "random")
    for key, value in (("k", 4), ("seed", 7), ("encoder", {**config.encoder, "width": 32})):
        other = Config({**config.to_dict(), key: value})
        assert fingerprint(other, "random") != first


@pytest.mark.parametrize("change", ["content", "name", "extra", "gone"])
def test_other_data_has_another_fingerprint(config: Config, change: str) -> None:
    first = fingerprint(config, "random")
    image = Path(config.train_data.data) / "class-0" / "0.png"
    if change == "content":
        content = bytearray(image.read_bytes())
        content[-20] ^= 1
        image.write_bytes(content)
    elif change == "name":
        image.rename(image.with_name("renamed.png"))
    elif change == "extra":
        shutil.copy(image, image.with_name("extra.png"))
    else:
        image.unlink()
    new_process()
    assert fingerprint(config, "random") != first


def test_the_encoders_content_counts_and_its_place_does_not(config: Config, tmp_path: Path) -> None:
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (fingerprint(config, str(tmp_path / name)) for name in "abc")
    assert a == b
    assert len({a, c, fingerprint(config, "random")}) == 3


def test_pixels_beside_an_encoders_weights_count(config: Config, tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"1")
    found = {fingerprint(config, str(weights))}
    for mean in (0.5, 0.4):
        said = {"image_mean": [mean] * 3, "image_std": [0.5] * 3}
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
        found.add(fingerprint(config, str(weights)))
    assert len(found) == 3


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the code, which counts instead of ours."""
    for package in ("mae_core", "downstream", "pipelines"):
        shutil.copytree(source_code.SOURCE / package, tmp_path / package)
    monkeypatch.setattr(source_code, "SOURCE", tmp_path)
    return tmp_path


def key_with(config: Config, file: Path, old: str, new: str) -> str:
    """The fingerprint while `file` has `new` in place of `old`, or `new` at its end."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1) if old else text + new)
    new_process()
    key = fingerprint(config, "random")
    file.write_text(text)
    new_process()
    return key


def test_other_code_of_the_stage_or_what_it_imports_has_another_fingerprint(
    config: Config, copy: Path
) -> None:
    new_process()
    before = fingerprint(config, "random")
    places = [
        "mae_core/__init__.py",
        "mae_core/encoders/vit.py",
        "mae_core/data/sources/table.py",  # imported when it is needed
        "downstream/classification/knn.py",
        "downstream/__init__.py",
    ]
    keys = {key_with(config, copy / place, "", "\nCHANGED = 1\n") for place in places}
    assert len(keys | {before}) == len(places) + 1


def test_code_that_computes_nothing_for_the_stage_does_not_count(
    config: Config, copy: Path
) -> None:
    new_process()
    before = fingerprint(config, "random")
    for place in (
        "pipelines/cells/cell.py",
        "downstream/classification/suite.py",
        "mae_core/pretrain.py",
    ):
        assert key_with(config, copy / place, "", "\nCHANGED = 1\n") == before


def test_comments_docstrings_and_layout_do_not_count(config: Config, copy: Path) -> None:
    new_process()
    before, knn = fingerprint(config, "random"), copy / "downstream/classification/knn.py"
    assert key_with(config, knn, "", "# a comment\n") == before
    assert key_with(config, knn, '"""', '"""Other words. ') == before
    assert key_with(config, knn, "\ndef ", "\n\n\n\ndef ") == before
    assert key_with(config, knn, "", "\ndef half(") != before  # no Python, in the midst of an edit


def test_modules_that_a_config_names_count(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lab").mkdir()
    for name, text in (("__init__", ""), ("hooks", "from lab import part"), ("part", "x = 1")):
        (tmp_path / "lab" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    before = fingerprint(config, "random")
    config.custom_imports = {"imports": ["lab.hooks"]}
    for name in ("hooks", "part"):
        after = key_with(config, tmp_path / "lab" / f"{name}.py", "", "\ny = 2")
        assert len({before, after, fingerprint(config, "random")}) == 3
    config.custom_imports = {"imports": "downstream.classification.monitor"}
    assert fingerprint(config, "random") != before


MADE = {
    "stage": "pretrain",
    "seed": 0,
    "devices": 2,
    "threads": 1,
    "encoder": {"width": 16},
    "train_data": {"data": "train"},
    "preview": {"data": "preview"},
    "log_level": "INFO",
    "report_interval": 10,
    "sharded": True,
    "train_dataloader": {
        "batch_size": 8,
        "num_workers": 2,
        "drop_last": True,
        "sampler": {"type": "DrawSampler"},
    },
    "default_hooks": {
        "logger": {"interval": 5},
        "checkpoint": {"minutes": 1, "keep": 2, "interval": 1},
    },
}
DIGESTS = {"code": "1", "encoder": "random", "train_data.data": "2"}


def test_a_config_has_the_fingerprint_that_it_had_in_earlier_versions() -> None:
    assert fingerprint_of(Config(MADE), DIGESTS) == "230d9bf0e01a79f7"
    assert fingerprint_of(Config({**MADE, "effective_batch": 8}), DIGESTS) == "6a22827daed9c2f3"
    assert settings(Config(MADE)) == "e5482eec32d999cf"


def test_the_layer_that_a_config_without_one_means_changes_nothing() -> None:
    made, none = {**MADE, "stage": "knn"}, {"layer": None, "held_out": None}
    assert settings(Config({**made, **none})) == settings(Config(made))
    for layer in (0, "best"):
        assert settings(Config({**made, **none, "layer": layer})) != settings(Config(made))


def test_the_method_that_a_config_without_one_means_changes_nothing() -> None:
    made = {**MADE, "stage": "pretrain"}
    keys = [
        (settings(config), fingerprint_of(config, DIGESTS))
        for config in (Config({**made, **more}) for more in ({}, {"method": "mae"}))
    ]
    assert keys[0] == keys[1]
    assert settings(Config({**made, "method": "toy"})) != keys[0][0]
    other = Config({**made, "stage": "knn"}), Config({**made, "stage": "knn", "method": "mae"})
    assert settings(other[0]) != settings(other[1])


def test_what_a_pretraining_goes_on_from_counts_by_its_content_alone() -> None:
    made = {**MADE, "stage": "pretrain"}
    usual = {"warmup_updates": 0, "encoder_lr_mult": 1.0}
    key = fingerprint_of(Config(made), DIGESTS)
    for more in ({"start": None}, {"start": "a.pth"}, {"continued": None}, {"continued": usual}):
        assert fingerprint_of(Config({**made, **more}), DIGESTS) == key
    assert fingerprint_of(Config(made), {**DIGESTS, "encoder": "3"}) != key
    warm = Config({**made, "continued": {**usual, "warmup_updates": 9}})
    assert fingerprint_of(warm, DIGESTS) != key
    other = {**MADE, "stage": "knn"}  # to which the key may mean something else
    assert settings(Config({**other, "start": 1})) != settings(Config(other))


def test_what_differs_between_results_that_are_compared_is_no_part_of_their_protocol() -> None:
    other = {**MADE, "seed": 1, "encoder": {"width": 32}, "env_cfg": {}, "default_hooks": {}}
    assert protocol(other, {}) == protocol(MADE, {})
    assert fingerprint_of(Config(other), DIGESTS) != fingerprint_of(Config(MADE), DIGESTS)
    assert protocol({**MADE, "threads": 2, "log_level": "DEBUG"}, {}) == protocol(MADE, {})
    assert protocol({**MADE, "devices": 4}, {}) != protocol(MADE, {})


@given(first=st.text(max_size=4), second=st.text(max_size=4))
def test_fingerprints_are_equal_exactly_if_the_configs_are(first: str, second: str) -> None:
    one, other = (fingerprint(Config({"name": name}), "random") for name in (first, second))
    assert (one == other) == (first == second)


def test_what_only_changes_the_speed_does_not_count(configs: Path) -> None:
    def key(*overrides: str) -> str:
        config = load_config(str(configs / "pretrain.py"), overrides=overrides)
        return fingerprint(config, "random")

    assert key() == key("train_dataloader.num_workers=2") == key("sharded=True")
    assert key() == key("default_hooks.checkpoint.minutes=1", "default_hooks.logger.interval=7")
    assert key() == key("default_hooks.checkpoint.interval=3", "log_level=DEBUG")
    assert key() != key("train_dataloader.batch_size=2")
    whole = ("effective_batch=8", "train_dataloader.batch_size=2")
    assert key("effective_batch=8") == key(*whole) != key("effective_batch=16")


def test_steps_and_devices_count_unless_the_update_is_the_same_with_others(configs: Path) -> None:
    def key(stage: str, size: int, devices: int, **fields: Any) -> str:
        config = load_config(str(configs / f"{stage}.py"))
        config.train_dataloader.batch_size, config.devices = size, devices
        for name, value in fields.items():
            (config.train_dataloader if name == "drop_last" else config)[name] = value
        return fingerprint(config, "random")

    paper = {"mixing": {"mixup_alpha": 0.8}, "ema": 0.9, "effective_batch": 8, "drop_last": True}
    for stage in ("pretrain", "finetune", "supervise"):
        ways = [(8, 1), (4, 2), (2, 1), (1, 8)]
        assert len({key(stage, *way) for way in ways}) == 4
        assert len({key(stage, *way, **paper) for way in ways}) == 1
        rest = {**paper, "drop_last": False}  # what is left over of an epoch is spread, too
        assert key(stage, 8, 1, **rest) != key(stage, 4, 2, **rest)
        scratch = {**paper, "scratch": {"effective_batch": None}}
        assert key(stage, 8, 1, **scratch) != key(stage, 4, 1, **scratch)


def test_threads_count_for_a_result_and_not_for_its_protocol(configs: Path) -> None:
    for stage in ("pretrain", "knn"):
        one, two = (
            load_config(str(configs / f"{stage}.py"), overrides=[f"threads={n}"]) for n in (1, 2)
        )
        assert fingerprint(one, "random") != fingerprint(two, "random")
        assert protocol(one.to_dict(), {}) == protocol(two.to_dict(), {})
        assert fingerprint(load_config(str(configs / f"{stage}.py")), "random") == fingerprint(
            one, "random"
        )


def test_the_batch_counts_where_a_batch_norm_sees_it(configs: Path) -> None:
    config = load_config("linear_probe/vit-base-p16_8xb2048-amp-coslr-90e_in1k")
    assert config.effective_batch and config.train_dataloader.drop_last
    other = Config(config.to_dict())
    other.train_dataloader.batch_size = 64
    assert settings(config) != settings(other)
    other.train_dataloader.batch_size = config.train_dataloader.batch_size
    assert settings(config) == settings(other)


def test_a_missing_data_folder_is_named(config: Config) -> None:
    config.val_data.data = config.train_data.data + "/nowhere"
    with pytest.raises(UserError, match=r"no data at .*nowhere.* exists and holds class-0"):
        fingerprint(config, "random")


def test_data_is_found_at_any_depth_once() -> None:
    nested = {"data_root": "b", "x": [{"y": ({"data": "a"}, {"data": "b", "names_in": "c"})}]}
    assert data_roots(Config(nested)) == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["list.txt", "images.npz"])
def test_other_content_of_a_file_has_another_fingerprint(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("1")
    config = Config({"data": str(tmp_path / name)})
    first = fingerprint(config, "random")
    (tmp_path / name).write_text("2")
    new_process()
    assert fingerprint(config, "random") != first


def test_the_preview_does_not_count_and_need_not_be_there(configs: Path) -> None:
    config = load_config(str(configs / "pretrain.py"))
    before = fingerprint(config, "random")
    config.preview.data = "nowhere"
    assert fingerprint(config, "random") == before
    assert "preview.data" not in inputs(config, "random")


def test_how_often_checkpoints_are_written_counts_where_the_best_is_kept(configs: Path) -> None:
    config = load_config(str(configs / "pretrain.py"))
    config.default_hooks.checkpoint.best = "loss"
    before = fingerprint(config, "random")
    config.default_hooks.checkpoint.interval = 3
    assert fingerprint(config, "random") != before


def test_inputs_are_named_by_their_place(config: Config, tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("1")
    config.reference = str(tmp_path / "weights")
    first = inputs(config, "random")
    assert first.keys() == {"code", "encoder", "reference", "train_data.data", "val_data.data"}
    (tmp_path / "weights").write_text("2")
    second = inputs(config, "random")
    assert {name for name in first if first[name] != second[name]} == {"reference"}


def test_settings_do_not_know_where_data_lies(config: Config) -> None:
    first = settings(config)
    config.train_data.data = "elsewhere"
    assert settings(config) == first
    config.k = 7
    assert settings(config) != first


def test_the_code_of_an_installed_packages_encoder_and_method_counts(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toys = Path(__file__).parents[1] / "toys" / "mae_bench_toys"
    shutil.copytree(toys, tmp_path / "others_toys")
    points = (
        "[mae_bench.encoders]\ntoys = others_toys.encoder\n"
        "[mae_bench.methods]\ntoys = others_toys.method\n"
    )
    write_metadata(tmp_path, "others-toys", points)
    before = key_with(config, tmp_path / "others_toys" / "method.py", "", "")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, module in (("toy", "encoder"), ("mean_colour", "method")):
        source = tmp_path / "others_toys" / f"{module}.py"
        source.write_text(source.read_text().replace(f'("{name}"', f'("others_{name}"'))
    encoder = tmp_path / "others_toys" / "encoder.py"
    encoder.write_text(encoder.read_text().replace('"toy-', '"others-toy-'))
    assert key_with(config, encoder, "", "\nCHANGED = 1\n") == before, "it names neither"
    config.encoder = dict(arch="others-toy-small")
    config.method = "others_mean_colour"
    first = key_with(config, encoder, "", "")
    second = key_with(config, encoder, "", "\nCHANGED = 2\n")
    third = key_with(config, tmp_path / "others_toys" / "method.py", "", "\nCHANGED = 1\n")
    assert len({before, first, second, third}) == 4


@pytest.mark.parametrize(
    ("arch", "counts"), [("timm:test_resnet", True), ("timm:test_convnext", False)]
)
@pytest.mark.parametrize("by_name", [False, True])
def test_the_batch_counts_where_an_encoder_sees_all_of_it(
    arch: str, counts: bool, by_name: bool
) -> None:
    fields = {"arch": "vit-micro-p6", "img_size": 12} if by_name else {"arch": arch}
    made = {**MADE, "stage": "finetune", "encoder": fields, "effective_batch": 8}
    made |= {"pixels": {"mean": [1.0] * 3, "std": [2.0] * 3}, "train_data": {}, "preview": {}}
    spec = f"{arch}@random" if by_name else "random"
    loader = {**MADE["train_dataloader"], "batch_size": 4}
    keys = [
        {fingerprint(Config({**made, **more}), spec) for more in ({}, other)}
        for other in ({"train_dataloader": loader}, {"devices": 4})
    ]
    assert [len(found) for found in keys] == [1 + counts] * 2


def test_a_table_counts_with_its_images_wherever_they_lie(config: Config, tmp_path: Path) -> None:
    images = Path(config.train_data.data)
    names = sorted(str(path.relative_to(images)) for path in images.rglob("*.png"))
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["img,label", *(f"{n},{n[:7]}" for n in names)]))

    def found(root: Path) -> str:
        new_process()
        of_table = {"data": str(table), "columns": {"path": "img"}, "root": str(root)}
        content = {**config.to_dict(), "train_data": {**config.train_data.to_dict(), **of_table}}
        return fingerprint(Config(content), "random")

    first = found(images)
    moved = Path(shutil.copytree(images, tmp_path / "moved"))
    assert found(moved) == first
    (moved / "not-in-it.png").write_bytes(b"")
    assert found(moved) == first
    (moved / names[0]).write_bytes((moved / names[1]).read_bytes())
    assert found(moved) != first

"""Somebody else's package adds an encoder family and a method of pretraining, and nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper

from downstream.analysis import stage as analysis
from downstream.classification import evaluate, finetune, knn, linear_probe, partial
from downstream.classification.features import feature_key
from downstream.dense.backbone import place_encoder
from mae_core import UserError, create_encoder, pretrain
from mae_core.checkpoints import check_sizes, load_encoder, read_metadata, read_state, save_encoder
from mae_core.config import load_config
from mae_core.convert import convert
from mae_core.data.images import ImageDataset
from mae_core.describe import load_mae
from mae_core.encoders.base import layer_ids
from mae_core.engine.step_checkpoints import checkpoints
from mae_core.methods import create_method
from mae_core.source_code import closure
from mae_core.stage import SilentReporter, StageResult
from tests.faults import arm
from tests.packages import write_metadata
from tests.tiny import write_configs, write_images

TOYS = Path(__file__).parent / "toys"
ARCH = "toy-small"
POINTS = """
[mae_bench.encoders]
toy = mae_bench_toys.encoder
[mae_bench.methods]
mean_colour = mae_bench_toys.method
"""


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture
def toys(tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny configs with the toys' modules, encoder and method in place of ours."""
    monkeypatch.syspath_prepend(TOYS)
    folder = write_configs(tmp_path / "configs", images)
    for path in folder.glob("*.py"):
        base = path.rename(path.with_name(f"base_{path.name}"))
        path.write_text(
            f"_base_ = '{base}'\n"
            "custom_imports = dict(imports=['tests.faults', "
            "'mae_bench_toys.encoder', 'mae_bench_toys.method'])\n"
            f"encoder = dict(_delete_=True, arch='{ARCH}', img_size=12, in_chans=3)\n"
            + "method = 'mean_colour'\nmean_colour = dict(weight=2.0)\n" * (path.stem == "pretrain")
            + "pool = 'avg'\n" * (path.stem in ("knn", "linear-probe"))
        )
    return folder


def config_of(folder: Path, stage: str, *overrides: str) -> Config:
    return load_config(str(folder / f"{stage}.py"), overrides=overrides)


def run(stage: Any, config: Config, encoder: str, folder: Path) -> StageResult:
    MessageHub._instance_dict.clear()  # as in a new process
    folder.mkdir(parents=True, exist_ok=True)
    stage.check(config, encoder)
    return stage.run(config, encoder, folder, SilentReporter())


@pytest.fixture
def pretrained(toys: Path, tmp_path: Path) -> str:
    config = config_of(toys, "pretrain", "train_cfg.max_epochs=2")
    return str(run(pretrain, config, "random", tmp_path / "pretrain").checkpoint)


def test_a_toy_is_pretrained_saved_and_built_again_from_its_file(
    toys: Path, tmp_path: Path
) -> None:
    config = config_of(toys, "pretrain", "train_cfg.max_epochs=2")
    result = run(pretrain, config, "random", tmp_path / "work")
    assert result.metrics["pretrain/loss"].value > 0 and result.artifacts == {}
    about = read_metadata(str(result.checkpoint))
    assert (about["family"], about["encoder"]["width"]) == ("toy", 8)
    encoder = load_encoder(str(result.checkpoint)).eval()
    assert type(encoder).__name__ == "ToyEncoder"
    last = torch.load(checkpoints(tmp_path / "work")[0], weights_only=True)["state_dict"]
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, last[f"mean_colour.encoder.{name}"])
    assert last["mean_colour.progress"].tolist() == [8, 8]  # updates: 2 epochs of 4


def test_a_toy_that_is_broken_off_and_resumed_ends_the_same(toys: Path, tmp_path: Path) -> None:
    config = config_of(toys, "pretrain")
    whole = run(pretrain, config, "random", tmp_path / "whole")
    arm(toys / "pretrain.fault", "raise", 9)
    with pytest.raises(RuntimeError, match="the device is gone"):
        run(pretrain, config, "random", tmp_path / "broken")
    resumed = run(pretrain, config, "random", tmp_path / "broken")
    one, other = (read_state(str(result.checkpoint)) for result in (whole, resumed))
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_what_a_method_logs_beside_its_loss_is_not_trained(toys: Path, tmp_path: Path) -> None:
    logged: dict[str, float] = {}
    reporter = SilentReporter()
    reporter.log = lambda values, step: logged.update(values)  # type: ignore[method-assign]
    config = config_of(toys, "pretrain", "train_cfg.max_epochs=1")
    pretrain.run(config, "random", tmp_path / "work", reporter)
    assert logged["loss"] > 0 and logged["spread"] > 0 and logged["loss"] != logged["spread"]
    model = pretrain.Pretrainer(pretrain.build_method(config), torch.nn.Identity())
    images = torch.rand(2, 3, 12, 12)
    losses = model(images, torch.arange(2))
    trained, shown = model.parse_losses(losses)
    assert trained is losses["loss"] and shown.keys() == {"loss", "spread"}
    model.method.losses = lambda images, seeds: {"a": torch.tensor(1.0), "b": torch.tensor(2.0)}
    assert model(images, torch.arange(2))["loss"] == 3.0


@pytest.mark.parametrize("stage", [knn, linear_probe, finetune])
def test_a_toy_goes_through_the_tasks(
    stage: Any, toys: Path, pretrained: str, tmp_path: Path
) -> None:
    name = {knn: "knn", linear_probe: "linear-probe", finetune: "finetune"}[stage]
    result = run(stage, config_of(toys, name), pretrained, tmp_path / "stages" / name)
    (metric,) = [value for key, value in result.metrics.items() if key.endswith("top1")]
    assert 0 <= metric.value <= 1
    if stage is finetune:
        config = config_of(toys, "evaluate")
        tested = run(evaluate, config, str(result.checkpoint), tmp_path / "test")
        assert tested.metrics["evaluate/val"].value == metric.value
        check_sizes(config.encoder, str(result.checkpoint))  # no norm is out of its place


def test_layer_decay_takes_a_toys_parts(toys: Path) -> None:
    config = config_of(toys, "finetune")
    model = finetune.build_classifier(config, "random", 2)
    wrapper = {
        "constructor": "LayerDecayConstructor",
        "optimizer": {"type": "SGD", "lr": 1.0},
        "paramwise_cfg": {"layer_decay": 0.5},
    }
    groups = build_optim_wrapper(model, wrapper).optimizer.param_groups
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    found = {name: rates[id(p)] for name, p in model.named_parameters() if "weight" in name}
    assert found == {
        "encoder.stem.weight": 0.125,
        "encoder.blocks.0.weight": 0.25,
        "encoder.blocks.1.weight": 0.5,
        "encoder.last.weight": 1.0,
        "head.weight": 1.0,
    }


def test_a_family_that_forgets_a_parameter_is_told(toys: Path) -> None:
    encoder = create_encoder(config_of(toys, "finetune").encoder.arch)
    encoder.extra = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"ToyEncoder.parts\(\) lacks extra.weight"):
        layer_ids(encoder)


def test_whole_blocks_of_a_toy_are_trained_and_half_a_one_is_refused(toys: Path) -> None:
    config = config_of(toys, "finetune")
    config.blocks = [0, 1, 2]
    partial.check(config, "random")
    model = finetune.build_classifier(config, "random", 2)
    model.freeze(1)
    trained = {n for n, p in model.named_parameters() if p.requires_grad and "weight" in n}
    assert trained == {"encoder.blocks.1.weight", "encoder.last.weight", "head.weight"}
    config.blocks = [0.5]
    with pytest.raises(UserError, match=r"half a block .* half of its last block; .* 'toy'"):
        partial.check(config, "random")


def test_what_a_toy_lacks_is_told_before_anything_runs(toys: Path) -> None:
    with pytest.raises(UserError, match=r"method mae needs .* some patches .* 'toy' is none"):
        pretrain.check(config_of(toys, "pretrain", "method=mae"), "random")
    for stage, key in (("finetune", "classifier.pool=cls"), ("knn", "pool=cls")):
        module = {"finetune": finetune, "knn": knn}[stage]
        with pytest.raises(UserError, match="pool='cls': encoders of the family 'toy' take 'avg'"):
            module.check(config_of(toys, stage, key), "random")
    dense = load_config("segment/upernet_vit-micro-p6_1xb20-14e_demo")
    dense.encoder = config_of(toys, "knn").encoder
    with pytest.raises(UserError, match="the stage segment needs an encoder that is a plain ViT"):
        place_encoder(dense, "random")


def test_figures_of_a_toy_leave_out_attention(toys: Path, images: Path, tmp_path: Path) -> None:
    config = load_config("analyze/vit-micro-p6_demo")
    config.encoder = config_of(toys, "knn").encoder
    config.val_data.update(data=str(images / "val"), transform={"input_size": 12}, per_class=None)
    dataset = ImageDataset(**config.val_data)
    seen = analysis.look(create_encoder(**config.encoder).eval(), dataset, config)
    assert seen.attention is None and [rows.shape[1] for rows in seen.layers] == [8, 16]
    names = ("encoder", "random")
    assert "attention" not in analysis.pictures(dataset, names, [seen, seen], seed=0)


def test_files_say_their_family_where_it_does_not_fit(
    toys: Path, pretrained: str, tmp_path: Path
) -> None:
    vit = tmp_path / "vit.safetensors"
    save_encoder(vit, create_encoder("vit-micro-p6", img_size=12))
    with pytest.raises(UserError, match=r"is of the family 'vit', the config's toy-small of 'toy'"):
        check_sizes({"arch": ARCH}, str(vit))
    with pytest.raises(UserError, match=r"has width=8, the config asks for width=16"):
        check_sizes({"arch": "toy-wide"}, pretrained)
    with pytest.raises(UserError, match="family 'toy': only ViTs have layouts"):
        convert(pretrained, tmp_path / "out.pth", "timm")
    with pytest.raises(UserError, match="without the decoder"):
        load_mae(pretrained)


def test_unknown_names_and_fields_name_the_nearest(toys: Path) -> None:
    with pytest.raises(UserError, match="no architecture is called 'toy-smal': did you mean"):
        pretrain.check(config_of(toys, "pretrain", "encoder.arch=toy-smal"), "random")
    with pytest.raises(UserError, match="is called 'mean_color': did you mean 'mean_colour'"):
        pretrain.check(config_of(toys, "pretrain", "method=mean_color"), "random")
    with pytest.raises(UserError, match=r"weight=-1\.0: expected a number above 0"):
        pretrain.check(config_of(toys, "pretrain", "mean_colour.weight=-1.0"), "random")
    encoder = create_encoder("toy-small")
    with pytest.raises(UserError, match=r"method mean_colour has no field 'wait': .* 'weight'"):
        create_method("mean_colour", encoder, wait=1.0)


def test_the_code_of_a_family_counts_for_features(
    toys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "mae_bench_toys.encoder" in closure(["mae_bench_toys.encoder"])
    config = config_of(toys, "knn")
    before = feature_key(config, "random", dict(config.val_data))
    monkeypatch.setattr("downstream.classification.features.family_code", lambda arch: "other")
    assert feature_key(config, "random", dict(config.val_data)) != before


def test_an_installed_package_is_found_by_its_entry_points(tmp_path: Path) -> None:
    """In a process of its own, whose path has the package and its metadata."""
    shutil.copytree(TOYS, tmp_path, dirs_exist_ok=True)
    write_metadata(tmp_path, "mae-bench-toys", POINTS)
    script = (
        "import sys; from mae_core.encoders import create_encoder\n"
        "from mae_core.methods import create_method\n"
        "create_encoder('vit-tiny-p16')\n"
        "print('mae_bench_toys.encoder' in sys.modules)\n"
        "print(create_method('mean_colour', create_encoder('toy-small')).name)\n"
    )
    path = os.pathsep.join([str(tmp_path), str(TOYS.parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout.split() == ["False", "mean_colour"]

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from downstream.outcomes import Grouped, load_outcomes
from downstream.statistics import share
from mae_core import UserError, create_encoder
from mae_core.checkpoints import read_metadata, read_state, save_encoder, save_weights
from mae_core.config import load_config
from pipelines.cells.resources import Resources
from pipelines.errors import StageFailed
from pipelines.identity import content_of
from pipelines.recipes.recipe import load_stage_config
from pipelines.recipes.single import idle_cores, join_single, run_single
from pipelines.stages import check_stage
from pipelines.tracking.tracker import Tracker
from tests.faults import arm


@pytest.fixture
def encoder(tmp_path: Path) -> str:
    """The path of an encoder of the configs' size."""
    made = create_encoder("vit-micro-p6", img_size=12, width=16, depth=1, heads=2)
    save_weights(tmp_path / "own.safetensors", made, encoder=made.config)
    return str(tmp_path / "own.safetensors")


def test_a_stage_runs_alone_after_one_that_was_refused_and_is_reused(
    configs: Path, encoder: str, tracker: Tracker, tmp_path: Path
) -> None:
    call = ("knn", str(configs / "knn.py"), encoder, None)
    with pytest.raises(UserError, match="k=99"):
        run_single(*call, ["k=99"])
    outcome = run_single(*call, [])
    assert outcome.status == "run"
    (_,) = (tmp_path / "runs" / "knn" / "stages").glob("knn-own-*/result.json")
    tags = tracker.client.get_run(outcome.run_id).data.tags
    assert (tags["recipe"], tags["encoder"]) == ("knn", encoder)
    assert run_single(*call, []).status == "reused"
    statuses = [run.info.status for run in tracker.client.search_runs([tracker.experiment])]
    assert statuses == ["FINISHED"]


def test_a_mistake_is_told_before_anything_is_tracked(
    configs: Path, tracker: Tracker, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no encoder at 'mae'"):
        run_single("knn", str(configs / "knn.py"), "mae", None, [])
    assert tracker.client.search_runs([tracker.experiment]) == []
    assert not (tmp_path / "runs").exists()


def test_what_was_never_trained_goes_through_the_frozen_protocols(
    configs: Path, tracker: Tracker, tmp_path: Path
) -> None:
    encoder = "dict(_delete_=True, arch='rcf', img_size=12, in_chans=3)"
    metrics = {"knn": "knn/top1", "linear-probe": "linear-probe/top1", "few-shot": "2way1shot"}
    for stage, metric in metrics.items():
        path = configs / f"{stage}-rcf.py"
        path.write_text(f"_base_ = '{configs / stage}.py'\nencoder = {encoder}\npool = 'own'\n")
        outcome = run_single(stage, str(path), "random", tmp_path / "work", [])
        assert outcome.status == "run"
        assert any(name.endswith(metric) for name in outcome.result.metrics)
    assert len(list((tmp_path / "work" / "stages" / "features").glob("*.npz"))) == 2
    with pytest.raises(UserError, match="pool='cls': encoders of the family 'rcf' have one"):
        run_single("knn", str(configs / "knn-rcf.py"), "random", None, ["pool=cls"])


@pytest.mark.parametrize(
    ("stage", "encoder", "message"),
    [
        ("finetune", "pixels", "--encoder pixels: finetune needs an encoder that has weights that"),
        ("partial-finetune", "rcf", "--encoder rcf: partial-finetune needs an encoder that has"),
        ("knn", "timm:test_convnet@random", "no model called 'test_convnet'"),
    ],
)
def test_an_encoder_that_a_stage_cannot_use_is_told(
    configs: Path, tracker: Tracker, stage: str, encoder: str, message: str
) -> None:
    config = {"partial-finetune": "partial_finetune/vit-micro-p6_1xb64-40e_demo-250"}
    with pytest.raises(UserError, match=message):
        run_single(stage, config.get(stage, str(configs / f"{stage}.py")), encoder, None, [])
    assert tracker.client.search_runs([tracker.experiment]) == []


def test_fresh_computes_again_and_sets_aside_what_was(
    configs: Path, tracker: Tracker, tmp_path: Path
) -> None:
    call = ("knn", str(configs / "knn.py"), "random", tmp_path / "work", [])
    first = run_single(*call)
    again = run_single(*call, fresh=True)
    assert again.status == "run" and again.run_id != first.run_id
    assert again.result.metrics == first.result.metrics
    aside = tmp_path.glob("work/stages-before-*/*")
    names = sorted(path.name.rpartition("-")[0] or path.name for path in aside)
    assert names == ["features", "knn-random"]
    assert run_single(*call).run_id == again.run_id


@pytest.mark.parametrize(
    ("stage", "machine", "message"),
    [
        ("pretrain", Resources(nodes=2), "--nodes 2 needs --rendezvous host:port"),
        ("pretrain", Resources(nodes=2, rendezvous="here"), "host:port .* found 'here'"),
        ("knn", Resources(nodes=2, rendezvous="here:1"), "knn runs on one machine"),
    ],
)
def test_a_machine_that_does_not_fit_is_explained(
    configs: Path, tracker: Tracker, stage: str, machine: Resources, message: str
) -> None:
    for start in (run_single, join_single):
        with pytest.raises(UserError, match=message):
            start(stage, str(configs / f"{stage}.py"), "random", None, [], machine)
    assert tracker.client.search_runs([tracker.experiment]) == []


def test_joining_needs_another_machine(configs: Path) -> None:
    with pytest.raises(UserError, match="--join needs --nodes"):
        join_single("pretrain", str(configs / "pretrain.py"), "random", None, [], Resources())


@pytest.mark.parametrize("encoder", ["supervised", "timm:vit_tiny", "encoder.pth", "runs:/1"])
def test_a_training_from_scratch_takes_no_encoder(
    configs: Path, tmp_path: Path, encoder: str
) -> None:
    message = f"supervise begins with random weights, so --encoder {encoder}"
    with pytest.raises(UserError, match=message):
        run_single("supervise", str(configs / "supervise.py"), encoder, tmp_path / "work", [])
    config = configs / "started.py"
    config.write_text(f"_base_ = '{configs / 'supervise.py'}'\nstart = 'x.pth'\n")
    with pytest.raises(UserError, match=r"has start='x\.pth': expected the name of an encoder, in"):
        run_single("supervise", str(config), "random", tmp_path / "work", [])
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("supervised", "no encoder at 'supervised'"),
        ("pixels", "no encoder at 'pixels'"),
        ("timm:vit_tny", "no model called 'vit_tny'"),
        ("encoder.pth", "no encoder at 'encoder.pth'"),
        ("runs:/1", "no MLflow run '1'"),
    ],
)
def test_what_a_pretraining_cannot_go_on_from_is_told(
    configs: Path, tmp_path: Path, tracker: Tracker, encoder: str, message: str
) -> None:
    for given, overrides in ((encoder, []), ("random", [f"start={encoder}"])):
        with pytest.raises(UserError, match=message):
            run_single("pretrain", str(configs / "pretrain.py"), given, tmp_path / "w", overrides)
    assert tracker.client.search_runs([tracker.experiment]) == []


def test_a_pretraining_that_goes_on_says_from_what_and_can_be_run_again(
    configs: Path, tracker: Tracker, tmp_path: Path
) -> None:
    path = str(tmp_path / "licensed.safetensors")
    made = create_encoder("vit-micro-p6", img_size=12, width=16, depth=1, heads=2)
    save_encoder(path, made, licence="cc-by-nc-4.0")
    plain = configs / "plain.py"  # a config that imports nothing can be run again from its run
    none = "custom_imports = dict(imports=[])\ncustom_hooks = []\n"
    plain.write_text(f"_base_ = '{configs / 'pretrain.py'}'\n{none}")
    pretrain = ("pretrain", str(plain))
    short = ["train_cfg.max_epochs=1"]
    first = run_single(*pretrain, path, tmp_path / "work", short)
    assert first.status == "run"
    tags = tracker.client.get_run(first.run_id).data.tags
    assert tags["encoder"] == path and tags["encoder_digest"] == content_of(path)
    assert tags["encoder.licence"] == "cc-by-nc-4.0" and tags["encoder.arch"] == "vit-micro-p6"
    assert tracker.client.get_run(first.run_id).data.params["start"] == path
    same = ("random", tmp_path / "work", [*short, f"start={path}"])
    assert run_single(*pretrain, *same).run_id == first.run_id
    again = run_single("pretrain", f"runs:/{first.run_id}", "random", tmp_path / "work", [])
    assert (again.status, again.run_id) == ("reused", first.run_id)
    further = run_single(*pretrain, f"runs:/{first.run_id}", tmp_path / "work", short)
    tags = tracker.client.get_run(further.run_id).data.tags
    assert (further.status, tags["encoder_run"]) == ("run", first.run_id)
    assert read_metadata(str(further.result.checkpoint))["licence"] == "cc-by-nc-4.0"


def test_a_pretraining_that_goes_on_is_killed_and_ends_in_the_same_bits(
    configs: Path, encoder: str, tracker: Tracker, tmp_path: Path
) -> None:
    given = ["train_cfg.max_epochs=2", "continued.warmup_updates=9"]  # an epoch has 8 updates
    call = ("pretrain", str(configs / "pretrain.py"), encoder, tmp_path / "work", given)
    arm(configs / "pretrain.fault", "kill", 10)
    with pytest.raises(StageFailed):
        run_single(*call)
    resumed = run_single(*call)
    assert resumed.status == "resumed"
    broken = read_state(str(resumed.result.checkpoint))
    whole = run_single(*call, fresh=True)
    assert whole.status == "run"
    found = read_state(str(whole.result.checkpoint))
    assert found.keys() == broken.keys()
    assert all(torch.equal(found[key], broken[key]) for key in found)


@pytest.mark.parametrize("stage", ["knn", "pretrain", "finetune", "evaluate"])
def test_missing_data_names_its_key(configs: Path, tmp_path: Path, stage: str) -> None:
    key = {
        "knn": "val_data.data",
        "pretrain": "preview.data",
        "finetune": "val_dataloader.dataset.data",
        "evaluate": "sets.0.data",
    }[stage]
    for value in ("no/such", "a\0b", "x" * 5000):
        with pytest.raises(UserError, match=key.replace(".", r"\.")):
            run_single(
                stage, str(configs / f"{stage}.py"), "random", tmp_path / "w", [f"{key}={value}"]
            )


CHECKED = ["knn", "linear-probe", "few-shot", "pretrain", "finetune", "supervise"]
VALUES = ["0", "-1", "1e308", "9000000000000000000", "None", "[]", "''"]


@pytest.mark.parametrize("stage", CHECKED)
def test_a_strange_value_is_accepted_or_explained(configs: Path, stage: str) -> None:
    path = str(configs / f"{stage}.py")
    keys = list(keys_in(load_config(path).to_dict()))
    accepted = 0
    for key in keys[:: max(len(keys) // 5, 1)]:
        for value in VALUES:
            try:
                check_stage(stage, load_stage_config(stage, path, [f"{key}={value}"]), "random")
                accepted += 1
            except UserError as error:
                assert len(str(error)) < 2000
    assert accepted


def keys_in(node: Any, before: str = "") -> Iterator[str]:
    for key, value in node.items():
        yield f"{before}{key}"
        if isinstance(value, dict):
            yield from keys_in(value, f"{before}{key}.")


def test_a_stage_that_leaves_cores_idle_says_how_to_use_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.recipes.single.cpu_count", lambda: 8)
    monkeypatch.setattr("pipelines.recipes.single.visible_gpus", tuple)
    assert "`-o threads=8` is faster" in idle_cores(Resources(1, 1))
    assert idle_cores(Resources(8, 1)) == idle_cores(Resources(2, 4)) == ""
    monkeypatch.setattr("pipelines.recipes.single.visible_gpus", lambda: ("0",))
    assert idle_cores(Resources(1, 1)) == ""


@pytest.mark.slow
def test_knn_from_a_table_with_groups_keeps_them_to_the_outcomes(
    configs: Path, images: Path, encoder: str, tracker: Tracker, tmp_path: Path
) -> None:
    rows = ["path,label,split,group"]
    for path in sorted(images.rglob("*.png")):
        split, label, name = path.relative_to(images).parts
        rows.append(f"{split}/{label}/{name},{label},{split},{split}{label}{int(path.stem) // 2}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    chosen = []
    for split in ("train", "val"):
        data = dict(data=str(tmp_path / "labels.csv"), split=split, root=str(images))
        chosen.append(f"{split}_data = {dict(**data, transform=dict(input_size=12))}")
    path = configs / "knn-table.py"
    path.write_text("\n".join([f"_base_ = ['{configs / 'knn.py'}']", *chosen]))
    done = run_single("knn", str(path), encoder, None, [])
    assert done.status == "run"
    assert run_single("knn", str(path), encoder, None, []).status == "reused"
    (kept,) = (tmp_path / "runs").rglob("outcomes.npz")
    found = load_outcomes(kept)["knn/top1"]
    assert isinstance(found, Grouped) and len(np.unique(found.groups)) == 15
    metrics = tracker.client.get_run(done.run_id).data.metrics
    assert metrics["knn/top1_ci95"] == pytest.approx(share(found).ci95)

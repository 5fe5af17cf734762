from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mae_core import UserError, create_encoder
from mae_core.checkpoints import save_weights
from mae_core.config import load_config
from pipelines.cells.resources import Resources
from pipelines.recipes.recipe import load_stage_config
from pipelines.recipes.single import idle_cores, join_single, run_single
from pipelines.stages import check_stage
from pipelines.tracking.tracker import Tracker


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
    with pytest.raises(UserError, match="has width=16, the config asks for width=32"):
        run_single(*call, ["encoder.width=32"])
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


@pytest.mark.parametrize("stage", ["pretrain", "supervise"])
@pytest.mark.parametrize("encoder", ["supervised", "timm:vit_tiny", "encoder.pth", "runs:/1"])
def test_a_training_from_scratch_takes_no_encoder(
    configs: Path, tmp_path: Path, stage: str, encoder: str
) -> None:
    with pytest.raises(
        UserError, match=f"{stage} begins with random weights, so --encoder {encoder}"
    ):
        run_single(stage, str(configs / f"{stage}.py"), encoder, tmp_path / "work", [])
    assert not (tmp_path / "work").exists()


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

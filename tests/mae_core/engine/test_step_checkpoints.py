import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mae_core import UserError
from mae_core.engine.step_checkpoints import checkpoints, is_whole, resume_point
from mae_core.errors import Interrupted
from tests.faults import Evil
from tests.line import LOADER, Notes, Points, checkpoint_hook, line


@HOOKS.register_module()
class StopAt(Hook):
    """Sends the process SIGTERM in the middle of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def before_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        if runner.iter + 1 == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.pth*"))


def test_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    line(tmp_path, train_cfg={"by_epoch": True, "max_epochs": 4})
    assert names(tmp_path) == ["step_12.pth", "step_16.pth"]
    assert is_whole(tmp_path / "step_16.pth")


def test_a_checkpoint_is_written_every_few_minutes(tmp_path: Path) -> None:
    line(tmp_path, default_hooks=checkpoint_hook(minutes=0.0, keep=3))
    assert names(tmp_path) == ["step_6.pth", "step_7.pth", "step_8.pth"]


def test_training_by_steps_writes_at_its_end_and_when_it_is_stopped(tmp_path: Path) -> None:
    by_steps: dict[str, Any] = {
        "train_cfg": {"by_epoch": False, "max_iters": 6},
        "train_dataloader": {**LOADER, "sampler": {"type": "InfiniteSampler"}},
    }
    with pytest.raises(Interrupted):
        line(tmp_path, custom_hooks=[{"type": "StopAt", "step": 3}], **by_steps)
    assert names(tmp_path) == ["step_3.pth"]
    assert len(line(tmp_path, **by_steps).rates) == 3
    assert names(tmp_path) == ["step_3.pth", "step_6.pth"]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("step", [3, 4, 7])
def test_a_stop_saves_and_the_rest_ends_in_the_same_weights(
    tmp_path: Path, step: int, workers: int
) -> None:
    loader = {**LOADER, "num_workers": workers}
    fields: dict[str, Any] = {"train_dataloader": loader, "ema": 0.9}
    undisturbed = line(tmp_path / "a", **fields)
    with pytest.raises(Interrupted):
        line(tmp_path / "b", custom_hooks=[{"type": "StopAt", "step": step}], **fields)
    assert names(tmp_path / "b")[-1] == f"step_{step}.pth"
    data = Points()
    resumed = line(tmp_path / "b", data, **fields)
    assert torch.equal(resumed.layer.weight, undisturbed.layer.weight)
    assert len(resumed.rates) == 8 - step
    if not workers:
        assert len(data.visited) == 2 * (8 - step)  # nothing is read again
    states = [torch.load(tmp_path / f / "step_8.pth") for f in "ab"]
    for a, b in zip(*(s["ema_state_dict"].values() for s in states), strict=True):
        assert torch.equal(a, b)


def test_a_best_checkpoint_stays(tmp_path: Path) -> None:
    line(
        tmp_path,
        default_hooks=checkpoint_hook(best="loss", keep=1),
        train_cfg={"by_epoch": True, "max_epochs": 3},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.5}},  # diverges
    )
    assert names(tmp_path) == ["best.pth", "step_12.pth"]
    assert torch.load(tmp_path / "best.pth")["meta"]["epoch"] == 1


def test_a_truncated_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    undisturbed = line(tmp_path)
    last = tmp_path / "step_8.pth"
    last.write_bytes(last.read_bytes()[:-1000])
    notes = Notes()
    resumed = line(tmp_path, reporter=notes)
    assert notes.notes == ["step_8.pth is damaged: training goes on from step_4.pth"]
    assert torch.equal(resumed.layer.weight, undisturbed.layer.weight)
    assert names(tmp_path) == ["step_4.pth", "step_8.pth"] and is_whole(last)


def test_flipped_bits_in_a_tensor_fall_back_to_the_one_before(tmp_path: Path) -> None:
    """torch reads such a file without a word."""
    undisturbed = line(tmp_path)
    last = tmp_path / "step_8.pth"
    flip(last, undisturbed.layer.weight.detach().numpy().tobytes())
    stored = torch.load(last)["state_dict"]["layer.weight"]
    assert not torch.equal(stored, undisturbed.layer.weight)
    notes = Notes()
    resumed = line(tmp_path, reporter=notes)
    assert notes.notes == ["step_8.pth is damaged: training goes on from step_4.pth"]
    assert torch.equal(resumed.layer.weight, undisturbed.layer.weight)
    assert (tmp_path / "step_8.damaged").exists() and is_whole(last)


def test_flipped_bits_everywhere_are_one_clear_message(tmp_path: Path) -> None:
    line(tmp_path)
    for path in checkpoints(tmp_path):
        weight = torch.load(path)["state_dict"]["layer.weight"]
        flip(path, weight.numpy().tobytes())
    with pytest.raises(UserError, match=r"step_8\.pth is damaged.*delete it"):
        line(tmp_path)


def flip(path: Path, value: bytes) -> None:
    """Change one bit of what has the value."""
    content = path.read_bytes()
    assert value in content
    path.write_bytes(content.replace(value, bytes([value[0] ^ 1]) + value[1:]))


@pytest.mark.parametrize("content", [b"", b"PK", b"no checkpoint"])
def test_damage_everywhere_is_one_clear_message(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "step_4.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"step_4\.pth is damaged.*delete it"):
        line(tmp_path)


def test_a_checkpoint_with_code_is_refused_before_it_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line(tmp_path)
    torch.save({"state_dict": Evil()}, tmp_path / "step_8.pth")
    with pytest.raises(UserError, match=r"step_8\.pth holds code.*delete it"):
        line(tmp_path)
    assert "code was executed" not in capsys.readouterr().out


@HOOKS.register_module()
class FullDisk(Hook):
    """While a checkpoint is written no file can grow beyond 1 KB."""

    priority = "LOWEST"

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))


@pytest.fixture
def limit_restored() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_turned_bits_that_look_like_code_are_damage(tmp_path: Path) -> None:
    line(tmp_path)
    last = tmp_path / "step_8.pth"
    content = last.read_bytes()
    assert b"collections\nOrderedDict" in content
    last.write_bytes(content.replace(b"collections\nOrderedDict", b"collectionr\nOrderedDict", 1))
    assert not is_whole(last)
    assert resume_point(tmp_path) == tmp_path / "step_4.pth"


@pytest.mark.usefixtures("limit_restored")
def test_a_disk_without_room_is_a_clear_error_and_leaves_the_last_checkpoint(
    tmp_path: Path,
) -> None:
    line(tmp_path)
    longer = {"by_epoch": True, "max_epochs": 3}
    with pytest.raises(UserError, match=r"step_12\.pth cannot be written.*step_8\.pth is whole"):
        line(tmp_path, train_cfg=longer, custom_hooks=[{"type": "FullDisk"}])
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert names(tmp_path) == ["step_4.pth", "step_8.pth"]
    assert len(line(tmp_path, train_cfg=longer).rates) == 4


def test_what_a_killed_process_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / "step_4.pth.part").write_bytes(b"half")
    line(tmp_path)
    assert names(tmp_path) == ["step_4.pth", "step_8.pth"]


def test_checkpoints_are_found_after_a_move_and_sorted_by_step(tmp_path: Path) -> None:
    assert resume_point(tmp_path) is None
    line(tmp_path / "old", train_cfg={"by_epoch": True, "max_epochs": 3})
    (tmp_path / "old").rename(tmp_path / "new")
    found = checkpoints(tmp_path / "new")
    assert [path.name for path in found] == ["step_12.pth", "step_8.pth"]
    assert resume_point(tmp_path / "new") == found[0]

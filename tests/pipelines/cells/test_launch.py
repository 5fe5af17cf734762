import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from mae_core import UserError
from mae_core.checkpoints import read_state
from mae_core.config import load_config
from mae_core.engine.step_checkpoints import checkpoints
from mae_core.stage import StageResult
from pipelines import last_net
from pipelines.cells import warm
from pipelines.cells.launch import launch, stop, stop_all, stopping_on_error
from pipelines.cells.resources import Resources
from pipelines.errors import StageInterrupted
from tests.faults import arm
from tests.processes import children, gone, wait_for
from tests.tiny import write_configs

Trained = Callable[..., Path]

ALONE, PAIR = Resources(), Resources(devices=2)
WHOLE, HALF = "train_dataloader.batch_size=4", "train_dataloader.batch_size=2"
ANEW = pytest.mark.usefixtures("anew")
SHARDED = pytest.mark.parametrize("shards", ["sharded=False", "sharded=True"])


@pytest.fixture(autouse=True)
def may_start() -> Iterator[None]:
    with stopping_on_error():
        yield


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stage is started anew, as single ones are; test_warm.py has those that are forked."""
    monkeypatch.setattr(warm, "GPU_DRIVERS", (os.devnull,))


def job_of(folder: Path, config: Path, *overrides: str) -> Path:
    folder.mkdir()
    load_config(str(config), overrides=overrides).dump(str(folder / "config.py"))
    (folder / "job.json").write_text(
        json.dumps(
            {
                "stage": config.stem,
                "encoder": "random",
                "config": str(folder / "config.py"),
                "work_dir": str(folder),
            }
        )
    )
    return folder / "job.json"


def start(job: Path, resources: Resources = ALONE, log: str = "log.txt") -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    launch(job, job.with_name(log), resources, events.append)
    return events


@pytest.fixture(scope="module")
def trained(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The job of a pretraining that nothing disturbed: `trained(resources, *overrides)`.

    What is asked for again is not run again.
    """
    folder = tmp_path_factory.mktemp("trained")
    config = write_configs(folder / "configs", images) / "pretrain.py"

    @cache
    def train(resources: Resources, *overrides: str) -> Path:
        keep = "default_hooks.checkpoint.keep=6"  # all of them
        job = job_of(folder / f"{len(list(folder.iterdir()))}", config, keep, *overrides)
        start(job, resources)
        return job

    return train


def events_of(job: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in job.with_name("events.jsonl").read_text().splitlines()]


def losses(events: list[dict[str, Any]]) -> dict[int, float]:
    return {e["step"]: e["values"]["loss"] for e in events if e["event"] == "log"}


def weights(job: Path) -> dict[str, torch.Tensor]:
    result = StageResult.load(job.with_name("result.json"))
    return read_state(result.artifacts.get("mae") or str(result.checkpoint))


def assert_close(found: Path, expected: Path) -> None:
    """Equal but for rounding, which alone decides the bias of keys: attention does not change with
    it, so its gradient is zero, and Adam blows up what is left of it."""
    first, second = weights(found), weights(expected)
    assert first.keys() == second.keys()
    for name in first:
        a, b = first[name], second[name]
        if name.endswith("qkv.bias"):
            a, b = (torch.cat([bias.chunk(3)[i] for i in (0, 2)]) for bias in (a, b))
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


@ANEW
def test_a_stage_reports_in_order_and_leaves_its_result(configs: Path, tmp_path: Path) -> None:
    job = job_of(tmp_path / "job", configs / "pretrain.py", "train_cfg.max_epochs=3")
    events = start(job)
    assert [e["step"] for e in events if e["event"] == "log"] == [10, 20, 24]
    assert [e["done"] for e in events if e["event"] == "progress"] == [10, 20, 24]
    result = StageResult.load(job.with_name("result.json"))
    assert result.files_exist()
    assert "Saving checkpoint step_24.pth, epoch 3" in job.with_name("log.txt").read_text()


@ANEW
def test_stopping_leaves_no_process_behind_and_lets_no_other_start(
    configs: Path, tmp_path: Path
) -> None:
    job, later = (job_of(tmp_path / name, configs / "pretrain.py") for name in ("a", "b"))
    arm(configs / "pretrain.fault", "hang", 1)
    hangs = configs / "pretrain.hangs"
    with ThreadPoolExecutor() as pool:
        running = pool.submit(start, job)
        wait_for(lambda: hangs.exists() and bool(hangs.read_text()))
        stop_all()
        with pytest.raises(StageInterrupted):
            running.result()
    stage, child_deaf_to_sigterm = map(int, hangs.read_text().split())
    wait_for(lambda: gone(stage) and gone(child_deaf_to_sigterm))
    with pytest.raises(StageInterrupted):
        start(later)
    assert not later.with_name("log.txt").exists()


@ANEW
def test_a_second_interrupt_leaves_no_child(
    configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAE_BENCH_GRACE", "3")
    job = job_of(tmp_path / "job", configs / "pretrain.py")
    arm(configs / "pretrain.fault", "hang", 1)
    hangs = configs / "pretrain.hangs"

    def interrupt_twice() -> None:
        wait_for(lambda: hangs.exists() and bool(hangs.read_text()))
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)  # while the stage has its grace

    with ThreadPoolExecutor() as pool:
        sent = pool.submit(interrupt_twice)
        with pytest.raises(KeyboardInterrupt):
            start(job)
        sent.result()
    stage, child = map(int, hangs.read_text().split())
    assert gone(stage) and gone(child)


@ANEW
def test_a_consumer_that_fails_stops_the_stage(configs: Path, tmp_path: Path) -> None:
    job = job_of(tmp_path / "job", configs / "pretrain.py", "train_cfg.max_epochs=10000")

    def fail(event: dict[str, Any]) -> None:
        raise ConnectionError("tracking is gone")

    with pytest.raises(ConnectionError, match="tracking is gone"):
        launch(job, job.with_name("log.txt"), ALONE, fail)
    assert not job.with_name("result.json").exists()
    assert not children(os.getpid())


@ANEW
def test_a_stage_that_is_asked_to_stop_saves_and_goes_on_later(
    configs: Path, tmp_path: Path
) -> None:
    stopped_midway(configs, tmp_path)


def stopped_midway(configs: Path, folder: Path) -> None:
    """Ask a long training to stop as soon as it reports: it must have been saved."""
    job = job_of(folder / "job", configs / "pretrain.py", "train_cfg.max_epochs=10000")
    with ThreadPoolExecutor() as pool:
        running = pool.submit(start, job)
        events = job.with_name("events.jsonl")
        wait_for(lambda: events.exists() and events.stat().st_size > 0)
        stop_all()
        with pytest.raises(StageInterrupted):
            running.result()
    assert "interrupted" in events.read_text().splitlines()[-1]
    assert checkpoints(job.parent)


@SHARDED
def test_two_processes_train_like_one_with_the_doubled_batch(trained: Trained, shards: str) -> None:
    one, two = trained(ALONE, WHOLE), trained(PAIR, HALF, shards)
    expected, found = losses(events_of(one)), losses(events_of(two))
    assert list(found) == [10, 20, 30, 40, 48]
    assert found == pytest.approx(expected, rel=1e-5)
    assert_close(two, one)


def test_accumulation_with_shards_trains_like_the_whole_batch(trained: Trained) -> None:
    small = ("train_dataloader.batch_size=1", "effective_batch=4", "sharded=True")
    assert_close(trained(PAIR, *small), trained(ALONE, WHOLE))


def test_two_processes_mix_and_skip_branches_like_one(configs: Path, tmp_path: Path) -> None:
    """Pairs of images, and what is drawn for each, are the same in 1 × 8, and 2 × 2 twice."""
    config = tmp_path / "finetune.py"
    config.write_text(
        f"_base_ = ['{configs / 'finetune.py'}']\n"
        "encoder = dict(depth=2, drop_path=0.5)\neffective_batch = 8\nema = 0.8\n"
        "mixing = dict(mixup_alpha=0.8, cutmix_alpha=1.0)\n"
        "train_dataloader = dict(drop_last=True)\n"
    )
    jobs = {}
    for machine, size in ((ALONE, 8), (PAIR, 2)):
        size_of = f"train_dataloader.batch_size={size}"
        jobs[machine] = job_of(tmp_path / str(size), config, size_of)
        start(jobs[machine], machine)
    assert_close(jobs[PAIR], jobs[ALONE])


def test_two_machines_meet_and_train_like_one(
    configs: Path, tmp_path: Path, trained: Trained
) -> None:
    """Two rendezvous ends of this machine, which know each other only by the port."""
    two = job_of(tmp_path / "two", configs / "pretrain.py", HALF)
    machine = Resources(nodes=2, rendezvous=f"127.0.0.1:{free_port()}")
    with ThreadPoolExecutor() as pool:
        ends = [pool.submit(start, two, machine, f"log-{end}.txt") for end in "ab"]
        found = [losses(end.result()) for end in ends]
    expected = losses(events_of(trained(ALONE, WHOLE)))
    assert found[0] == found[1] == pytest.approx(expected, rel=1e-5)


@SHARDED
def test_a_lost_worker_is_started_again_and_the_weights_are_the_same(
    configs: Path, tmp_path: Path, trained: Trained, shards: str
) -> None:
    lost = job_of(tmp_path / "lost", configs / "pretrain.py", HALF, shards)
    arm(configs / "pretrain.fault", "kill", 10)
    start(lost, PAIR)
    assert not (configs / "pretrain.fault").exists()
    undisturbed = trained(PAIR, HALF, shards)
    for a, b in zip(weights(lost).values(), weights(undisturbed).values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("shards_first", [True, False])
def test_training_goes_on_with_shards_from_a_checkpoint_without_and_back(
    configs: Path, tmp_path: Path, trained: Trained, shards_first: bool
) -> None:
    kinds = [(PAIR, HALF, "sharded=True"), (ALONE, WHOLE, "sharded=False")]
    theirs, (resources, *overrides) = kinds if shards_first else reversed(kinds)
    first = trained(*theirs)
    second = job_of(tmp_path / "second", configs / "pretrain.py", *overrides)
    shutil.copy(first.with_name("step_16.pth"), second.parent)
    assert min(losses(start(second, resources))) == 20
    assert_close(second, first)


def test_fine_tuning_with_shards_is_that_without(configs: Path, tmp_path: Path) -> None:
    results = []
    for shards in ("sharded=False", "sharded=True"):
        job = job_of(tmp_path / shards, configs / "finetune.py", shards)
        start(job, PAIR)
        results.append(StageResult.load(job.with_name("result.json")))
    expected, found = results
    assert found.metrics == expected.metrics
    torch.testing.assert_close(*(read_state(result.checkpoint) for result in results))


def test_fine_tuning_in_two_processes_counts_every_val_image_once(
    configs: Path, tmp_path: Path
) -> None:
    job = job_of(tmp_path / "job", configs / "finetune.py", "optim_wrapper.optimizer.lr=0.0")
    alone = job_of(tmp_path / "one", configs / "finetune.py", "optim_wrapper.optimizer.lr=0.0")
    start(alone)
    start(job, PAIR)
    found, expected = (StageResult.load(j.with_name("result.json")).metrics for j in (job, alone))
    assert found == expected


def test_a_mistake_in_one_of_several_processes_ends_all(configs: Path, tmp_path: Path) -> None:
    job = job_of(tmp_path / "job", configs / "pretrain.py", "effective_batch=5")
    with pytest.raises(UserError, match="effective_batch=5 is no multiple"):
        start(job, PAIR)
    assert not children(os.getpid())


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def test_a_stage_sees_the_gpus_of_its_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    seen = [Resources(gpus=gpus).environment()["CUDA_VISIBLE_DEVICES"] for gpus in (("3",), ())]
    assert seen == ["3", ""]
    assert Resources().environment()["CUDA_VISIBLE_DEVICES"] == "2,3"


def test_a_stages_threads_soon_sleep_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    assert Resources(2).environment()["GOMP_SPINCOUNT"] == "1000"
    monkeypatch.setenv("GOMP_SPINCOUNT", "5")
    assert Resources(2).environment()["GOMP_SPINCOUNT"] == "5"


def test_a_process_computes_with_as_many_threads_as_told_whatever_cores_there_are() -> None:
    environment = Resources(threads=5, devices=2).environment()
    print_threads = [sys.executable, "-c", "import torch; print(torch.get_num_threads())"]
    assert subprocess.check_output(print_threads, env=environment).strip() == b"5"


def test_all_that_hang_have_one_grace_period_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.cells.launch.grace", lambda: 0.5)
    waited: list[float] = []

    class Hanging(subprocess.Popen[bytes]):
        def wait(self, timeout: float | None = None) -> int:
            waited.append(timeout or 0)
            return super().wait(timeout)

    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(60)"
    hanging = [
        Hanging([sys.executable, "-uc", deaf], stdout=subprocess.PIPE, start_new_session=True)
        for _ in range(4)
    ]
    for process in hanging:
        assert process.stdout.readline()
    stop(hanging)
    assert [process.returncode for process in hanging] == [-9] * 4
    assert sum(waited[:4]) < 2 * 0.5


@ANEW
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_stage_that_is_stopped_before_it_listens_is_an_interruption(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"import os, signal; signal.signal({number}, signal.SIG_DFL); os.kill(0, {number})"
    monkeypatch.setattr(Resources, "command", lambda *_: [sys.executable, "-c", code])
    with pytest.raises(StageInterrupted), stopping_on_error():
        launch(tmp_path / "job.json", tmp_path / "log.txt", Resources(), print)


@ANEW
def test_a_stage_that_fails_for_a_full_disk_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Resources, "command", lambda *_: [sys.executable, "-c", "1 / 0"])
    monkeypatch.setattr(last_net.tempfile, "TemporaryFile", full)
    with pytest.raises(UserError, match=f"{tmp_path} cannot be written .No space.*free space"):
        launch(tmp_path / "job.json", tmp_path / "log.txt", Resources(), print)

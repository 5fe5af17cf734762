import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from pipelines.cells import launch, warm
from pipelines.cells.launch import stopping_on_error
from pipelines.cells.resources import Resources
from pipelines.errors import StageFailed
from tests.faults import arm
from tests.pipelines.cells.test_launch import (
    events_of,
    job_of,
    losses,
    start,
    stopped_midway,
    weights,
)
from tests.processes import gone, wait_for

pytestmark = pytest.mark.slow

LONG = "train_cfg.max_epochs=10000"


@pytest.fixture(autouse=True)
def may_fork(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(warm, "GPU_DRIVERS", ())
    with stopping_on_error(), warm.forking():
        yield


def server() -> subprocess.Popen[bytes]:
    """The process that stages are forked from."""
    found = warm._Offer.warm
    assert found
    return found.process


def test_a_forked_stage_computes_what_one_computes_that_was_started(
    configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("forked", "again", "started")
    jobs = [job_of(tmp_path / name, configs / "pretrain.py") for name in names]
    for job in jobs[:2]:
        start(job)
    first = server()
    assert first.poll() is None
    monkeypatch.setattr(warm, "GPU_DRIVERS", (os.devnull,))
    start(jobs[2])
    expected = weights(jobs[2])
    for job in jobs[:2]:
        found = weights(job)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert losses(events_of(job)) == losses(events_of(jobs[2]))
    assert "Saving checkpoint" in jobs[1].with_name("log.txt").read_text()


def test_nothing_of_ours_is_imported_before_a_stage_is_forked() -> None:
    code = (
        "import importlib, sys\n"
        "from pipelines.cells import warm_start\n"
        "for name in warm_start.LIBRARIES: importlib.import_module(name)\n"
        "print(*[name for name in sys.modules if name.startswith(('mae_core', 'downstream'))])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == ""


def test_a_forked_stage_that_is_killed_has_failed_and_the_next_one_runs(
    configs: Path, tmp_path: Path
) -> None:
    job = job_of(tmp_path / "job", configs / "pretrain.py")
    arm(configs / "pretrain.fault", "kill", 10)
    with pytest.raises(StageFailed, match="code -9"):
        start(job)
    before = server()
    start(job)
    assert server() is before
    assert job.with_name("result.json").exists()


def test_a_forked_stage_saves_when_it_is_asked_to_stop(configs: Path, tmp_path: Path) -> None:
    stopped_midway(configs, tmp_path)


def test_without_the_process_that_forked_it_a_stage_ends_and_the_next_has_another(
    configs: Path, tmp_path: Path
) -> None:
    job = job_of(tmp_path / "job", configs / "pretrain.py", LONG)
    later = job_of(tmp_path / "later", configs / "knn.py")
    with ThreadPoolExecutor() as pool:
        running = pool.submit(start, job)
        events = job.with_name("events.jsonl")
        wait_for(lambda: events.exists() and events.stat().st_size > 0)
        (stage,) = launch.running()
        lost = server()
        lost.kill()
        with pytest.raises(StageFailed, match="code -9"):
            running.result()
    assert gone(stage.pid)
    start(later)
    assert server() is not lost


def test_who_starts_stages_takes_all_along_when_it_dies(configs: Path, tmp_path: Path) -> None:
    job = job_of(tmp_path / "job", configs / "pretrain.py")
    arm(configs / "pretrain.fault", "hang", 1)
    hangs = configs / "pretrain.hangs"
    code = (
        "import sys\nfrom pathlib import Path\nfrom pipelines.cells import launch, warm\n"
        "from pipelines.cells.resources import Resources\n"
        "warm.GPU_DRIVERS = ()\njob = Path(sys.argv[1])\n"
        "with warm.forking():\n"
        "    stage = warm.start(job, job.with_name('log.txt').open('wb'), Resources())\n"
        "    print(warm._Offer.warm.process.pid, flush=True)\n"
        "    input()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(job)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout
    forks = int(parent.stdout.readline())
    wait_for(lambda: hangs.exists() and bool(hangs.read_text()))
    stage, child = map(int, hangs.read_text().split())
    assert not gone(forks) and not gone(stage)
    parent.kill()
    parent.communicate()
    wait_for(lambda: gone(stage) and gone(child) and gone(forks))


def test_after_an_error_whoever_stops_the_stages_comes_to_it(
    configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"blocks": 0, "warm": None}.items():
        monkeypatch.setattr(warm._Offer, name, value)
    job = job_of(tmp_path / "job", configs / "pretrain.py", LONG)
    with pytest.raises(KeyboardInterrupt), warm.forking():
        with open(job.with_name("log.txt"), "wb") as log:
            stage = warm.start(job, log, Resources())
        forks = server()
        raise KeyboardInterrupt
    assert stage.poll() is None
    launch.stop([stage])
    assert gone(stage.pid)
    assert forks.wait(30) == 0


def test_libraries_are_imported_anew_for_another_environment(
    configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(job_of(tmp_path / "one", configs / "knn.py"))
    first = server()
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    start(job_of(tmp_path / "two", configs / "knn.py"))
    assert server() is not first
    first.wait(30)


def test_a_forked_stage_has_the_folder_and_the_variables_of_its_start(
    configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = "import os\nprint(os.getcwd(), __file__, os.environ.get('MLFLOW_MINE'))\n"
    servers = set()
    for value in ("one", "two", None):
        job = job_of(tmp_path / str(value), configs / "knn.py")
        job.with_name("here.py").write_text(tell)
        with open(job.with_name("config.py"), "a") as config:
            config.write("custom_imports = dict(imports='here')\n")
        monkeypatch.chdir(job.parent)
        monkeypatch.delenv("MLFLOW_MINE", raising=False)
        if value:
            monkeypatch.setenv("MLFLOW_MINE", value)
        start(job)
        servers.add(server().pid)
        told = f"{job.parent} {job.with_name('here.py')} {value}"
        assert told in job.with_name("log.txt").read_text().splitlines()
    assert len(servers) == 1


def test_a_stage_with_more_variables_than_fit_a_request_is_started(
    configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_LONG", "x" * warm.LONGEST)
    job = job_of(tmp_path / "job", configs / "knn.py")
    start(job)
    assert job.with_name("result.json").exists()


@pytest.mark.parametrize(
    "resources, drivers", [(Resources(devices=2), ()), (Resources(), (os.devnull,))]
)
def test_several_processes_and_stages_beside_a_gpu_are_started(
    resources: Resources, drivers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "GPU_DRIVERS", drivers)
    assert warm.offered(resources.environment(), resources) is None


def test_after_the_block_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"blocks": 0, "warm": None}.items():
        monkeypatch.setattr(warm._Offer, name, value)
    with warm.forking():
        assert warm.offered(Resources().environment(), Resources())
        process = server()
    assert process.poll() == 0
    assert warm.offered(Resources().environment(), Resources()) is None

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from mlflow.entities import Run
from prefect.settings import PREFECT_API_URL

from mae_core import create_encoder
from mae_core.checkpoints import save_weights
from pipelines.cli import main as module
from pipelines.cli.main import main
from pipelines.stages import stages
from pipelines.tracking.tracker import Tracker
from tests.faults import arm
from tests.processes import children, gone, wait_for
from tests.tiny import write_recipe


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Restore the handler that the command line replaces."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Exit code of the command in this process."""
    monkeypatch.setattr(sys, "argv", ["mae-bench", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli.main", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def runs(tracker: Tracker) -> list[Run]:
    return list(tracker.client.search_runs([tracker.experiment]))


def test_the_help_names_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "--help") == 0
    text = capsys.readouterr().out
    assert all(
        f" {name} " in text for name in ("run", "report", "reconstruct", "convert", *stages())
    )


def test_a_package_cannot_take_the_name_of_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "app", typer.Typer())
    module.app.command("knn")(lambda: None)
    module.app.command("run")(lambda: None)
    with pytest.raises(SystemExit) as end:
        module.add_stages()
    assert end.value.code == 2
    assert "brings a stage 'knn', which is a command" in capsys.readouterr().err


MISTAKES = {
    "run dmeo": "no benchmark is called 'dmeo': did you mean 'demo'?",
    "run demo -o slot=1": "did you mean 'slots'?",
    "run {tiny} -o knn.kk=1": "did you mean 'k'?",
    "run {no_key}": "no_key.py has no 'encoders'",
    "run {no_task}": "no task is called 'kn': did you mean 'knn'?",
    "run {tiny} -o encoders=['radnom']": "did you mean 'random'?",
    "knn knn/vit-micro": "did you mean 'knn/vit-micro-p6_k20_demo'?",
    "knn {configs}/finetune.py": "is a config for 'finetune', expected 'knn'",
    "knn {configs}/knn.py -o kk=3": "did you mean 'k'?",
    "knn {configs}/knn.py -o k": "'k' is not key=value",
    "knn {configs}/knn.py -o train_data.data={configs}/no": "no data at {configs}/no",
    "knn {configs}/knn.py --encoder {configs}/no.pth": "no encoder at '{configs}/no.pth'",
    "knn {configs}/knn.py --encoder {configs}/damaged.pth": "damaged.pth cannot be read",
    "knn {configs}/knn.py --encoder {configs}/cut.safetensors": "cut.safetensors cannot be read",
    "knn {configs}/knn.py --encoder timm:vit_tiny": "timm has no model called 'vit_tiny'",
    "report nothing": "no MLflow run 'nothing'",
    "compare nothing other": "no benchmark 'nothing'",
    "leaderboard kn": "no task is called 'kn': did you mean 'knn'?",
    "leaderboard knn": "no run of 'knn' has finished",
    "convert {configs}/damaged.pth out.pth --to mae": "damaged.pth cannot be read",
    "convert {configs}/damaged.pth out.pth --to tim": "did you mean 'timm'?",
    "reconstruct a.png --checkpoint {configs}/no.pth": "no checkpoint at {configs}/no.pth",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_message_and_nothing_is_tracked(
    command: str,
    configs: Path,
    tracker: Tracker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = write_recipe(configs, ("knn",), ("random",))
    places = {"configs": configs, "tiny": recipe}
    for name, old, new in (("no_key", "encoders", "encodrs"), ("no_task", "'knn'", "'kn'")):
        places[name] = configs / f"{name}.py"
        places[name].write_text(recipe.read_text().replace(old, new))
    for name in ("damaged.pth", "cut.safetensors"):
        (configs / name).write_bytes(b"\x80 no weights")
    assert call(monkeypatch, *command.format(**places).split()) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert message.startswith("error: ")
    assert MISTAKES[command].format(**places) in message
    assert "Traceback" not in message
    assert runs(tracker) == []
    assert not (tmp_path / "runs").exists()


def test_a_pretrained_mae_is_drawn_and_converted(
    configs: Path,
    images: Path,
    tracker: Tracker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    work = tmp_path / "work"
    pretrain = ("pretrain", str(configs / "pretrain.py"), "-o", "train_cfg.max_epochs=1")
    assert call(monkeypatch, *pretrain, "--work-dir", str(work)) == 0
    (mae,) = work.glob("stages/pretrain-*/mae.safetensors")
    photos = [str(path) for path in sorted(images.glob("val/*/0.png"))]
    ratios = ("--mask-ratio", "0.5", "--mask-ratio", "0.75", "--out", str(tmp_path / "r.png"))
    assert call(monkeypatch, "reconstruct", *photos, "--checkpoint", str(mae), *ratios) == 0
    assert (tmp_path / "r.png").stat().st_size > 1000
    capsys.readouterr()
    assert call(monkeypatch, "convert", str(mae), str(tmp_path / "t.pth"), "--to", "timm") == 0
    said = capsys.readouterr().out
    assert "from layout 'native' to 'timm'" in said
    assert re.search(r"no place for them: \d+ of decoder$", said.strip())


def test_a_mistake_that_only_the_stage_finds_is_one_message_too(
    configs: Path,
    tracker: Tracker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    batch = "train_dataloader.batch_size=64"
    assert call(monkeypatch, "pretrain", str(configs / "pretrain.py"), "-o", batch) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 35 images are fewer than the 64 of one update")
    assert [run.info.status for run in runs(tracker)] == ["FAILED"]


def test_a_failure_exits_with_1_and_ends_with_its_cause(
    configs: Path,
    tracker: Tracker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arm(configs / "pretrain.fault", "raise", 1)
    assert call(monkeypatch, "pretrain", str(configs / "pretrain.py")) == 1
    error = capsys.readouterr().err
    assert "ended with code 1; the end of " in error
    assert error.strip().endswith("RuntimeError: the device is gone")
    (run,) = runs(tracker)
    assert run.info.status == "FAILED"
    assert run.data.tags["error"].endswith("the device is gone")


def test_an_interrupted_command_says_how_to_go_on_and_leaves_nothing_running(
    configs: Path, tracker: Tracker
) -> None:
    arm(configs / "pretrain.fault", "hang", 9)
    hangs = configs / "pretrain.hangs"
    command = start("pretrain", str(configs / "pretrain.py"))
    wait_for(lambda: hangs.exists() and bool(hangs.read_text()))
    command.send_signal(signal.SIGINT)
    output, _ = command.communicate()
    assert command.returncode == 75
    assert output.strip().endswith("interrupted; run the same command again to continue")
    assert "Traceback" not in output
    assert all(gone(int(pid)) for pid in hangs.read_text().split())
    (run,) = runs(tracker)
    assert run.info.status == "KILLED"


def test_a_stage_and_its_children_end_with_a_command_that_was_killed(
    configs: Path, tracker: Tracker
) -> None:
    arm(configs / "pretrain.fault", "hang", 1)
    hangs = configs / "pretrain.hangs"
    command = start("pretrain", str(configs / "pretrain.py"))
    wait_for(lambda: hangs.exists() and bool(hangs.read_text()))
    stage, child = map(int, hangs.read_text().split())
    assert children(command.pid) == [stage]
    command.kill()
    command.communicate()
    wait_for(lambda: gone(stage) and gone(child))


def test_an_interrupted_benchmark_starts_no_further_stage(
    configs: Path, tracker: Tracker, prefect: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = create_encoder("vit-micro-p6", img_size=12, width=16, depth=1, heads=2)
    save_weights(tmp_path / "own.safetensors", encoder, encoder=encoder.config)
    recipe = write_recipe(configs, ("finetune",), ("random", str(tmp_path / "own.safetensors")))
    monkeypatch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))
    arm(configs / "finetune.fault", "hang", 1)
    hangs = configs / "finetune.hangs"
    command = start("run", str(recipe), "-o", "slots=1", "--work-dir", str(tmp_path / "work"))
    wait_for(lambda: hangs.exists() and bool(hangs.read_text()))
    for _ in range(2):  # as an impatient user or `timeout` does
        command.send_signal(signal.SIGTERM)
        time.sleep(0.2)
    output, _ = command.communicate(timeout=120)
    assert command.returncode == 75, output
    assert output.strip().endswith("interrupted; run the same command again to continue")
    assert all(gone(int(pid)) for pid in hangs.read_text().split())
    assert {run.info.status for run in runs(tracker)} == {"KILLED"}
    assert len(list((tmp_path / "work" / "stages").glob("*/log.txt"))) == 1

"""Every command that the pages print runs as printed, or is listed here with the reason why not."""

import glob
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import mlflow.cli
import pytest
import timm
import torch
import typer
from mmengine.config import Config

import mae_core.config
from mae_core import create_model
from mae_core.agreement import check_keys
from mae_core.checkpoints import save_weights
from mae_core.config import load_config
from mae_core.convert import convert
from pipelines.cli.main import app, main
from pipelines.environment import ENVIRONMENT
from pipelines.recipes.recipe import split_overrides
from pipelines.stages import stages
from tests.docs.newcomer import write_all
from tests.docs.pages import PAGES, ROOT, TOOLS, Command, commands, mentions

CONFIGS = sorted(ROOT.glob("configs/**/*.py"))
SHIPPED = tuple(f"{stage.replace('-', '_')}/" for stage in stages())
FIRST = (
    "mae-bench pretrain pretrain/vit-micro-p4_1xb128-coslr-20e_small32 --work-dir runs/mae "
    "-o train_cfg.max_epochs=12"
)
# Those that take what others make come later, and last what removes it.
ORDER = ["README.md", "configs.md", "data.md", "recipes.md", "transfer.md", "dense.md"]
ORDER += ["method.md", "methods.md", "encoders.md", "report.md", "machine.md", "examples.md"]

WHOLE = "minutes; tests/test_demo.py runs it on a server and by the command line"
SERVER = "runs until it is stopped; tests/services.py starts it for test_demo.py, test_service.py"
IMAGENET = "needs ImageNet and GPUs"
LARGE = "needs the published weights and GPUs"
PREFECT = "changes the user's profile; a test below looks whether Prefect has the setting"
ASKS_SERVER = "needs a Prefect server and a worker; tests/test_demo.py has both"
REGISTRY = "tests/pipelines/tracking/test_model_registry.py"
EXAMPLES = "tests/downstream/examples/test_write.py"
BOXES = "tests/downstream/detection/test_stage.py"
DETECTION = "tests/pipelines/test_dense.py, tests/downstream/detection/test_predict.py"
# By the beginning of a command: why it is not run. What can be said without, is tested below.
EXEMPT = {
    "make ": "sets up a machine; a test below has make read it",
    "prefect config set": PREFECT,
    "prefect server start": SERVER,
    "prefect deployment run": ASKS_SERVER,
    "prefect work-pool create": "needs Kubernetes; tests/docker/test_work_pools.py",
    "mlflow ": SERVER,
    "mae-bench worker": SERVER,
    "mae-bench deploy": ASKS_SERVER,
    "mae-bench run demo": WHOLE,
    "mae-bench run rivals_demo": "as above; tests/pipelines/service/test_any_encoder.py, small",
    "mae-bench run bands": "minutes; tests/test_bands.py runs one on twelve bands",
    "mae-bench run boxes": f"an hour; {BOXES}",
    "mae-bench run microscopy": f"minutes; {EXAMPLES}",
    "mae-bench run sounds": f"minutes; {EXAMPLES}",
    "mae-bench run rgbd": f"minutes; {EXAMPLES}",
    "mae-bench run scenes": f"minutes; {EXAMPLES}, tests/downstream/classification/test_answers.py",
    "mae-bench data example": f"up to a minute; {EXAMPLES}",
    "mae-bench data convert data/nuclei": "needs the nuclei; tests/downstream/dense/convert",
    "mae-bench plan demo": "a minute; tests/pipelines/recipes/test_plan.py with small stages",
    "mae-bench sweep mask-ratio_demo": "an hour; tests/pipelines/sweep/test_flow.py, small",
    "mae-bench compare 3f2a91": "two benchmarks; tests/pipelines/report/test_compare.py has them",
    "mae-bench leaderboard few-shot": "as above, tests/pipelines/report/test_leaderboard.py",
    "mae-bench doctor": "its exit code is about this machine; tests/pipelines/doctor",
    "mae-bench data check DATA": "a placeholder; others check data by name",
    "mae-bench pretrain CONFIG": "several machines; tests/pipelines/cells/test_launch.py",
    "mae-bench pretrain pretrain/vit-base-p16_8xb512": IMAGENET,
    "mae-bench pretrain pretrain/fcmae_convnextv2-base": IMAGENET,
    "mae-bench pretrain pretrain/spark_resnet50": IMAGENET,
    "mae-bench finetune finetune/vit-base-p16_8xb128": IMAGENET,
    "mae-bench evaluate evaluate/vit-base-p16_in1k": IMAGENET,
    "mae-bench detect detect/mask-rcnn_vit-base-p16_8xb8": LARGE,
    "mae-bench detect detect/mask-rcnn_vit-base-p16_1xb4": f"half a minute; {DETECTION}",
    "mae-bench detect runs/mine": f"what that one leaves; {DETECTION}",
    "mae-bench segment segment/upernet_vit-base-p16_8xb2": LARGE,
    "mae-bench knn my_knn.py -o train_data.data=hf:": "asks the Hub; tests/mae_core/data/sources",
    "mae-bench knn my_knn.py --encoder timm:": "downloads; tests/mae_core/test_published.py",
    "mae-bench knn knn/vit-micro-p6_k20_demo --encoder timm:convnextv2": "downloads, as above",
    "mae-bench knn knn/vit-micro-p6_k20_demo --encoder models:": f"after a benchmark; {REGISTRY}",
    "MLFLOW_DEFAULT_ARTIFACT_ROOT=s3:": "a store; tests/pipelines/test_object_store.py has one",
}


def reason(command: Command) -> str:
    """Why a command is not run, '' if it is."""
    return next((why for start, why in EXEMPT.items() if command.line.startswith(start)), "")


ALL = [command for page in PAGES for command in commands(page)]


def run(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says, as in a shell; it must end well."""
    words: list[str] = []
    for word in shlex.split(command):
        words += sorted(glob.glob(word)) or [word]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", words)
        main()
    said = capsys.readouterr()
    assert not end.value.code, f"{command}: exit code {end.value.code}\n{said.out}\n{said.err}"
    return said.out


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with what the commands name; the shipped configs are small."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("MLFLOW_", "PREFECT_"))]:
            patch.delenv(name)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        (folder / "tmp").mkdir()
        patch.setenv("TMPDIR", str(folder / "tmp"))
        patch.setattr(tempfile, "tempdir", None)
        patch.chdir(folder)
        patch.setattr(mae_core.config, "CONFIG_ROOT", write_all(folder))
        sizes = {"img_size": 32, "width": 96, "depth": 4, "heads": 3, "decoder_width": 512}
        model = create_model("vit-base-p16", **sizes, decoder_depth=1)
        save_weights("base.safetensors", model, mae=model.config, encoder=model.encoder.config)
        convert(Path("base.safetensors"), Path("mae_pretrain_vit_base.pth"), "mae")
        torch.save(timm.create_model("resnet10t").state_dict(), "mine.pth")
        yield folder


@pytest.fixture(scope="module")
def done() -> set[str]:
    """The commands that were run: those on several pages run once."""
    return set()


def prepare(home: Path, done: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Run the pretraining whose encoder other pages take, and put it where they look for it."""
    if FIRST in done:
        return
    run(FIRST, capsys)
    done.add(FIRST)
    (made,) = home.glob("runs/mae/stages/pretrain-*/mae.safetensors")
    (home / "mae.safetensors").write_bytes(made.read_bytes())
    demo = home / "runs/demo/stages/pretrain-mae-0"
    demo.mkdir(parents=True)
    (demo / "mae.safetensors").write_bytes(made.read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("page", ORDER)
def test_the_commands_of_a_page_run_as_printed(
    page: str, home: Path, done: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(home, done, capsys)
    printed = [c.line for c in ALL if c.page == page and c.line not in done and not reason(c)]
    for line in dict.fromkeys(printed):
        run(line, capsys)
        done.add(line)


def test_the_order_has_every_page_whose_commands_are_run() -> None:
    assert {command.page for command in ALL if not reason(command)} == set(ORDER)
    assert FIRST in {command.line for command in ALL}


@pytest.mark.parametrize("start", EXEMPT)
def test_no_exemption_is_left_without_its_command(start: str) -> None:
    assert any(command.line.startswith(start) for command in ALL)


def test_tests_that_stand_in_for_a_command_are_there() -> None:
    for why in EXEMPT.values():
        for name in re.findall(r"tests/[\w/.]+\w", why):
            assert (ROOT / name).exists(), name


def in_heads_of_configs() -> list[Command]:
    """The commands in the head comments of configs; ENCODER and CONFIG are placeholders."""
    found = []
    for path in CONFIGS:
        text = path.read_text().replace(" \\\n#    ", "")
        lines = re.findall(r"^#   (mae-bench .*)$", text, re.MULTILINE)
        found += [Command(path.name, line) for line in lines]
    return found


OURS = [command for command in [*ALL, *in_heads_of_configs()] if command.words[0] == "mae-bench"]


@pytest.mark.parametrize("line", dict.fromkeys(command.line for command in OURS))
def test_the_command_line_takes_it_and_its_overrides_fit(line: str) -> None:
    """Whatever it needs to be run."""
    chosen, name, rest = typer.main.get_command(app), "", shlex.split(line)[1:]
    while hasattr(chosen, "commands"):
        name, *rest = rest
        chosen = chosen.commands[name]
    with chosen.make_context(name, rest) as context:
        config = str(context.params.get("config", ""))
        overrides = context.params.get("override") or []
        if config.startswith(SHIPPED):
            check_keys(load_config(config, "", overrides))
        if recipe := context.params.get("recipe"):
            of_recipe, of_stage = split_overrides(overrides)
            content = load_config(recipe, "benchmarks", of_recipe)
            for stage, own in of_stage.items():
                config = content.pretrain if stage == "pretrain" else content.tasks[stage]
                assert isinstance(load_config(config, "", own), Config)


@pytest.mark.parametrize(
    "line", dict.fromkeys(command.line for command in ALL if command.words[0] == "make")
)
def test_make_has_the_target(line: str) -> None:
    done = subprocess.run(["make", "-n", *shlex.split(line)[1:]], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_prefect_has_the_settings() -> None:
    from prefect.settings import Settings
    from prefect.settings.legacy import _get_settings_fields

    known = _get_settings_fields(Settings)
    for command in ALL:
        if command.line.startswith("prefect config set"):
            for word in command.words[3:]:
                assert word.partition("=")[0] in known, word


def test_mlflow_takes_the_options_of_its_servers() -> None:
    for command in ALL:
        if command.words[0] == "mlflow":
            name, *rest = command.words[1:]
            chosen = mlflow.cli.cli.get_command(click.Context(mlflow.cli.cli), name)
            assert chosen is not None, command.line
            chosen.make_context(name, rest)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_what_the_text_names_is_a_command(page: Path) -> None:
    """Between backticks, where arguments may be left out."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    known = {"mae-bench": typer.main.get_command(app).commands, "make": targets}
    for text in mentions(page):
        tool, *words = text.split()
        if tool in known and words and re.fullmatch("[a-z-]+", words[0]):
            assert words[0] in known[tool], text


def test_commands_are_found_with_their_options() -> None:
    assert {command.words[0] for command in ALL if "=" not in command.words[0]} == set(TOOLS)
    (training,) = [path for path in PAGES if path.name == "training.md"]
    assert any("--join" in command.words for command in commands(training))
    assert "mae-bench run demo" in {c.line for c in ALL if c.page == "install.md"}

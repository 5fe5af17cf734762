"""The command line takes every command that the documents show."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from mmengine.config import Config

from mae_core.config import load_config
from pipelines.cli.main import app
from pipelines.stages import stages

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("configs/**/*.py")])
SHIPPED = tuple(f"{stage.replace('-', '_')}/" for stage in stages())


def commands(path: Path) -> list[list[str]]:
    """Those in code blocks, and in the head comments of configs."""
    text = path.read_text().replace("\\\n", " ")
    if path.suffix == ".py":
        lines = re.findall(r"^#   (.*)$", text, re.MULTILINE)
    else:
        lines = "".join(block for block in text.split("```")[1::2]).splitlines()
    shown = [re.sub(r" \[-.*?\]", "", line) for line in lines if line.startswith("mae-bench ")]
    return [shlex.split(line, comments=True)[1:] for line in shown]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_is_accepted_and_its_overrides_fit(path: Path) -> None:
    for rest in commands(path):
        chosen, name = typer.main.get_command(app), ""
        while hasattr(chosen, "commands"):
            name, *rest = rest
            chosen = chosen.commands[name]
        with chosen.make_context(name, rest) as context:
            config = str(context.params.get("config", ""))
            if config.startswith(SHIPPED):
                assert isinstance(load_config(config, "", context.params["override"] or []), Config)


def test_commands_are_found_with_their_options() -> None:
    found = commands(ROOT / "docs" / "training.md")
    assert len(found) >= 4 and any("--join" in words for words in found)

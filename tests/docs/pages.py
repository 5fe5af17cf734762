"""The commands that README and docs print."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docker" / "README.md", *sorted(ROOT.glob("docs/*.md"))]
TOOLS = ("mae-bench", "make", "prefect", "mlflow")
COMMAND = re.compile(rf"(?:[A-Z_]+=\S+ )?(?:{'|'.join(TOOLS)})(?: .*)?")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


class Command(NamedTuple):
    """A line of a code block, without its comment and with single spaces."""

    page: str
    line: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line)


def blocks(path: Path) -> list[str]:
    """The text of each code block."""
    return [found.group().partition("\n")[2][:-3] for found in FENCE.finditer(path.read_text())]


def commands(path: Path) -> Iterator[Command]:
    """Those in the code blocks of a page; what may be left out, `[--like 1]`, is."""
    for block in blocks(path):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(r" \[-.*?\]", "", line)
            for part in line.split(" && "):
                words = re.sub(r"\s+#.*", "", part).split()
                if COMMAND.fullmatch(" ".join(words)):
                    yield Command(path.name, " ".join(words))


def mentions(path: Path) -> Iterator[str]:
    """Commands between backticks in the text of a page."""
    for span in re.findall(r"`([^`]+)`", FENCE.sub("", path.read_text())):
        text = " ".join(span.split())
        if COMMAND.fullmatch(text):
            yield text

"""Fill the templates of a report."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mae_core.files import write_text

ESCAPES = (  # the first first: it is in the others
    ("\\", "\\\\"),
    ("&", "&amp;"),
    ("<", "&lt;"),
    (">", "&gt;"),
    ("|", "\\|"),
    ("`", "\\`"),
    ("*", "\\*"),
    ("](", "]\\("),
)


def rendered(file: str, values: Mapping[str, Any]) -> str:
    """The template `file` with values in it."""
    templates = Environment(
        loader=PackageLoader("pipelines.report"),
        autoescape=lambda name: bool(name and name.endswith("html")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"md": as_markdown, "fenced": fenced}
    return templates.get_template(file).render(values)


def as_markdown(text: object) -> str:
    """A text that Markdown shows as it is: in a table's cell, without HTML and links of its own."""
    line = " ".join(str(text).split())
    for mark, shown in ESCAPES:
        line = line.replace(mark, shown)
    return line


def fenced(text: str) -> str:
    """A block of code, whose fence is longer than any in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(longest + 1, 3)
    return f"{fence}\n{text}\n{fence}"


def write_pages(name: str, values: Mapping[str, Any], folder: Path) -> None:
    """Write `<name>.html` and `<name>.md` into `folder`, from the templates of these names."""
    for file in (f"{name}.html", f"{name}.md"):
        write_text(folder / file, rendered(file, values))

"""Fill the templates of a report."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from mae_core.files import write_text
from pipelines.report.markdown import as_markdown, fenced


def rendered(file: str, values: Mapping[str, Any]) -> str:
    """The template `file` with values in it."""
    templates = Environment(
        loader=PackageLoader("pipelines.report"),
        autoescape=lambda name: bool(name and name.endswith("html")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"md": as_markdown, "fenced": fenced, "breakable": breakable}
    return templates.get_template(file).render(values)


def breakable(name: str) -> Markup:
    """A long name as HTML that may go on in the next line after any of '/_:@.-'."""
    return Markup(re.sub(r"([/_:@.-])", r"\1<wbr>", str(escape(name))))


def write_pages(name: str, values: Mapping[str, Any], folder: Path) -> None:
    """Write `<name>.html` and `<name>.md` into `folder`, from the templates of these names."""
    for file in (f"{name}.html", f"{name}.md"):
        write_text(folder / file, rendered(file, values))

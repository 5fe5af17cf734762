"""Write report.html, report.md and report.json."""

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines.report.collect import COLUMNS, Benchmark, Row, collect
from pipelines.report.figures import few_shot_curve, loss_curve
from pipelines.tracking import Tracker

CAPTIONS = {
    "pretrain-reconstruction": "Reconstruction of images that pretraining never saw",
    "detect-overlay": "Detection and instance segmentation",
    "segment-overlay": "Semantic segmentation",
}


@dataclass(frozen=True)
class Picture:
    """A figure of the report."""

    file: str
    caption: str
    png: bytes

    @property
    def base64(self) -> str:
        """For a data URI."""
        return base64.b64encode(self.png).decode()


@dataclass(frozen=True)
class Line:
    """A line of the table: a metric, a number for each encoder, and the first two compared."""

    name: str
    cells: tuple[str, ...]
    best: int | None
    verdict: str


def write_report(run_id: str, tracker: Tracker, folder: Path) -> str:
    """Write the report of benchmark `run_id` into `folder`; returns the table as Markdown.

    Raises:
        UserError: if `run_id` is no benchmark.
    """
    benchmark = collect(run_id, tracker)
    folder.mkdir(parents=True, exist_ok=True)
    shown = pictures(benchmark)
    for picture in shown:
        (folder / picture.file).write_bytes(picture.png)
    lines = table(benchmark)
    templates = Environment(
        loader=PackageLoader("pipelines.report"),
        autoescape=lambda name: bool(name and name.endswith("html")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    values = {"benchmark": benchmark, "lines": lines, "pictures": shown}
    for kind in ("html", "md"):
        text = templates.get_template(f"report.{kind}").render(values)
        (folder / f"report.{kind}").write_text(text, encoding="utf-8")
    content = {"rows": [asdict(row) for row in benchmark.rows]}
    (folder / "report.json").write_text(json.dumps(content, indent=2))
    return templates.get_template("table.md").render(values)


def table(benchmark: Benchmark) -> list[Line]:
    """A line for each metric that any encoder has."""
    lines = []
    for name, title in COLUMNS.items():
        rows = [benchmark.value(encoder, name) for encoder in benchmark.encoders]
        present = [row for row in rows if row is not None]
        if not present:
            continue
        best = max(present, key=lambda row: row.value)
        cells = tuple("failed" if row is None else number(row) for row in rows)
        lines.append(Line(title, cells, rows.index(best), verdict(rows[0], rows[-1])))
    return lines


def number(row: Row) -> str:
    """'87.3 ± 0.8', in percent."""
    interval = "" if row.ci95 is None else f" ± {100 * row.ci95:.1f}"
    return f"{100 * row.value:.1f}{interval}"


def verdict(first: Row | None, other: Row | None) -> str:
    """The difference in points, and whether it exceeds both intervals together."""
    if first is None or other is None or first is other:
        return ""
    difference = first.value - other.value
    text = f"{100 * difference:+.1f}"
    if first.ci95 is None or other.ci95 is None:
        return text
    if abs(difference) <= first.ci95 + other.ci95:
        return f"{text}, within the intervals"
    return f"{text}, {'better' if difference > 0 else 'worse'}"


def pictures(benchmark: Benchmark) -> list[Picture]:
    """The figures in reading order."""
    found, names = [], file_names(benchmark.encoders)
    if benchmark.losses:
        found.append(Picture("loss.png", "Pretraining loss", loss_curve(benchmark)))
    for kind, caption in CAPTIONS.items():
        for encoder in benchmark.encoders:
            png = benchmark.pictures.get((kind, encoder))
            if png is not None:
                file = f"{kind}-{names[encoder]}.png"
                found.append(Picture(file, f"{caption}: {encoder}", png))
    if any(row.task == "few-shot" for row in benchmark.rows):
        figure = Picture(
            "few-shot.png", "Few-shot accuracy against shots", few_shot_curve(benchmark)
        )
        found.insert(2, figure)
    return found


def file_names(encoders: Sequence[str]) -> dict[str, str]:
    """A name without folders for each encoder, numbered where two would be the same."""
    stems = [Path(encoder).stem for encoder in encoders]
    return {
        encoder: stem if stems.count(stem) == 1 else f"{stem}-{number}"
        for number, (encoder, stem) in enumerate(zip(encoders, stems, strict=True), start=1)
    }

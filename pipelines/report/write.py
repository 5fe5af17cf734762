"""Write report.html, report.md and report.json."""

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from downstream.statistics import compare
from pipelines.report.collect import Benchmark, Outcomes, Row, collect
from pipelines.report.figures import few_shot_curve, loss_curve
from pipelines.report.names import is_headline, is_share, lower_is_better, number, order, title
from pipelines.tracking import Tracker

CAPTIONS = {
    "pretrain-reconstruction": "Reconstruction of images that pretraining never saw",
    "detect-overlay": "Detection and instance segmentation",
    "detect-box_precision_recall": "Precision against recall, boxes",
    "detect-mask_precision_recall": "Precision against recall, masks",
    "detect-box_ap_by_class": "Box AP by class",
    "detect-mask_ap_by_class": "Mask AP by class",
    "detect-confusion": "Instances by true and found class",
    "segment-overlay": "Semantic segmentation",
    "segment-iou_by_class": "IoU by class",
    "segment-confusion": "Pixels by true and found class",
    "low-shot-curve": "Accuracy against labelled images",
    "partial-finetune-curve": "Accuracy against fine-tuned blocks",
    "analyze-attention": "Where the class token looks",
    "analyze-patches-pca": "Three principal components of the patches' features, as colours",
    "analyze-tsne": "Features of val images by class, t-SNE",
    "analyze-cka": "Similarity between the layers of two encoders, linear CKA",
}
BASELINES = ("random", "supervised")


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
    """A line of a table: a metric, a number for each encoder, the first one's differences."""

    name: str
    cells: tuple[str, ...]
    best: int | None
    verdicts: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """The first encoder against a baseline, as in report.json; 0 to 1, p None without cases."""

    encoder: str
    baseline: str
    task: str
    metric: str
    difference: float
    low: float | None
    high: float | None
    p: float | None
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
    found = differences(benchmark)
    templates = Environment(
        loader=PackageLoader("pipelines.report"),
        autoescape=lambda name: bool(name and name.endswith("html")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = metric_names(benchmark)
    values = {
        "benchmark": benchmark,
        "baselines": baselines(benchmark.encoders),
        "lines": table(benchmark, [n for n in names if is_headline(n)], found),
        "more": table(benchmark, [n for n in names if not is_headline(n)], found),
        "repeated": [repeated(row) for row in benchmark.rows if row.seeds],
        "pictures": shown,
    }
    for kind in ("html", "md"):
        text = templates.get_template(f"report.{kind}").render(values)
        (folder / f"report.{kind}").write_text(text, encoding="utf-8")
    rows = [{k: v for k, v in asdict(row).items() if k != "seeds" or v} for row in benchmark.rows]
    content = {"rows": rows, "comparisons": [asdict(difference) for difference in found]}
    (folder / "report.json").write_text(json.dumps(content, indent=2))
    return templates.get_template("table.md").render(values)


def metric_names(benchmark: Benchmark) -> list[str]:
    """The metrics that any encoder has, in order."""
    return sorted({f"{row.task}/{row.metric}" for row in benchmark.rows}, key=order)


def baselines(encoders: Sequence[str]) -> tuple[str, ...]:
    """The rows that the first one is compared with: the baselines among them, else the last."""
    known = tuple(name for name in BASELINES if name in encoders[1:])
    return known or tuple(encoders[1:][-1:])


def table(benchmark: Benchmark, names: Sequence[str], found: Sequence[Difference]) -> list[Line]:
    """A line for each metric."""
    lines = []
    for name in names:
        rows = [benchmark.value(encoder, name) for encoder in benchmark.encoders]
        cells = tuple(cell(benchmark, encoder, name) for encoder in benchmark.encoders)
        verdicts = tuple(
            next((text(d) for d in found if key(d) == (baseline, name)), "")
            for baseline in baselines(benchmark.encoders)
        )
        lines.append(Line(title(name), cells, best(name, rows), verdicts))
    return lines


def cell(benchmark: Benchmark, encoder: str, name: str) -> str:
    """A number, 'failed', or a dash where the encoder has no such metric."""
    row = benchmark.value(encoder, name)
    if row is not None:
        return number(name, row.value, row.ci95)
    stage = "finetune" if name.startswith("fine-tune/") else name.partition("/")[0]
    return "failed" if f"{stage}[{encoder}]" in benchmark.failed else "–"


def repeated(row: Row) -> str:
    """The single runs behind a number: 'kNN, top-1, mae: 75.0 (seed 0), 74.0 (seed 1)'."""
    name = f"{row.task}/{row.metric}"
    runs = (f"{number(name, run['value'], None)} (seed {run['seed']})" for run in row.seeds)
    return f"{title(name)}, {row.encoder}: {', '.join(runs)}"


def best(name: str, rows: Sequence[Row | None]) -> int | None:
    """The place of the best row, None where no value is better than another."""
    values = [(row.value, place) for place, row in enumerate(rows) if row is not None]
    if not values or not is_share(name):
        return None
    chosen = min if lower_is_better(name) else max
    return chosen(values, key=lambda value: value[0])[1]


def differences(benchmark: Benchmark) -> list[Difference]:
    """The first encoder against each baseline, in each metric that both have."""
    first, found = benchmark.encoders[0], []
    for name in filter(is_share, metric_names(benchmark)):
        for baseline in baselines(benchmark.encoders):
            one, other = benchmark.value(first, name), benchmark.value(baseline, name)
            if one and other:
                cases = [benchmark.outcomes.get((e, name)) for e in (first, baseline)]
                found.append(difference(one, other, *cases))
    return found


def difference(
    one: Row, other: Row, cases: Outcomes | None = None, other_cases: Outcomes | None = None
) -> Difference:
    """Two rows of one metric: by their cases in pairs where both have the same, else by intervals.

    By intervals one is better or worse if the difference exceeds both together; without intervals
    there is no verdict.
    """
    low = high = p = None
    value, verdict = one.value - other.value, ""
    if cases is not None and other_cases is not None and cases.shape == other_cases.shape:
        paired = compare(cases, other_cases)
        low, high, p, verdict = paired.low, paired.high, paired.p, paired.verdict
    elif one.ci95 is not None and other.ci95 is not None:
        verdict = "no difference shown"
        if abs(value) > one.ci95 + other.ci95:
            verdict = "better" if value > 0 else "worse"
    if lower_is_better(f"{one.task}/{one.metric}"):
        verdict = {"better": "worse", "worse": "better"}.get(verdict, verdict)
    names = (one.encoder, other.encoder, one.task, one.metric)
    return Difference(*names, value, low, high, p, verdict)


def key(found: Difference) -> tuple[str, str]:
    """The baseline and metric of a difference."""
    return found.baseline, f"{found.task}/{found.metric}"


def text(found: Difference) -> str:
    """'+5.9, better', in points."""
    return f"{100 * found.difference:+.1f}" + (f", {found.verdict}" if found.verdict else "")


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

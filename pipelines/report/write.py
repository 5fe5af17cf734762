"""Write report.html, report.md and report.json."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mae_core.files import write_bytes, write_json
from pipelines.display import duration
from pipelines.report.collect import Benchmark, Row, collect
from pipelines.report.differences import Difference, baselines, differences, summaries, text
from pipelines.report.names import (
    is_compared,
    is_headline,
    lower_is_better,
    number,
    order,
    other_unit,
    title,
)
from pipelines.report.pictures import pictures
from pipelines.report.published import Published, published
from pipelines.report.render import rendered, write_pages
from pipelines.report.stage_runs import commands, energy_note, facts
from pipelines.stages import card_with
from pipelines.tracking.tracker import Tracker

LONGEST = 32  # characters of an encoder over a column


@dataclass(frozen=True)
class Line:
    """A line of a table: a metric, a number for each encoder, the first one's differences.

    `published` has the figures of others for the same pretraining and protocol, each with the
    number of its source and the row that it stands beside.
    """

    name: str
    cells: tuple[str, ...]
    best: int | None
    verdicts: tuple[str, ...]
    published: str = ""


def write_report(run_id: str, tracker: Tracker, folder: Path, watts: float | None = None) -> str:
    """Write the report of benchmark `run_id` into `folder`; returns the table as Markdown.

    Args:
        run_id: of the benchmark.
        tracker: of MLflow.
        folder: for the files.
        watts: that a stage draws, for the estimate of energy; without it the GPUs' measured power.

    Raises:
        UserError: if `run_id` is no benchmark.
    """
    benchmark = collect(run_id, tracker, watts)
    folder.mkdir(parents=True, exist_ok=True)
    shown = pictures(benchmark)
    for picture in shown:
        write_bytes(folder / picture.file, picture.png)
    names = metric_names(benchmark)
    found = differences(benchmark, names)
    others = published_figures(benchmark, tracker)
    headline = [name for name in names if is_headline(name)]
    values = {
        "benchmark": benchmark,
        "baselines": baselines(benchmark),
        "summaries": summaries(benchmark, [one for one in found if one.name in headline]),
        "lines": table(benchmark, headline, found, others),
        "more": table(benchmark, [n for n in names if not is_headline(n)], found, others),
        "sources": list(dict.fromkeys(figure.source for figure in others)),
        "repeated": [repeated(row) for row in benchmark.rows if row.seeds],
        "pictures": shown,
        "stages": benchmark.stages,
        "energy": energy_note(benchmark.stages),
        "has_energy": any(stage.power for stage in benchmark.stages),
        "commands": commands(benchmark.tags, benchmark.stages),
        "facts": facts(benchmark.stages),
        "shortened": shortened,
        "duration": lambda seconds: duration(seconds / 3600),
    }
    write_pages("report", values, folder)
    optional = ("seeds", "labels")
    rows = [
        {k: v for k, v in asdict(row).items() if k not in optional or v} for row in benchmark.rows
    ]
    content = {
        "rows": rows,
        "comparisons": [asdict(difference) for difference in found],
        "published": [asdict(figure) for figure in others],
        "stages": [stage.as_json() for stage in benchmark.stages],
        "reproduce": {"commands": values["commands"], **facts(benchmark.stages)},
    }
    write_json(folder / "report.json", content, indent=2)
    return rendered("table.md", values)


def shortened(encoder: str) -> str:
    """A name that fits over a column: of a long one, such as a path, the end."""
    return encoder if len(encoder) <= LONGEST else f"…{encoder[-LONGEST:]}"


def metric_names(benchmark: Benchmark) -> list[str]:
    """The metrics that any encoder has, in order."""
    return sorted({f"{row.task}/{row.metric}" for row in benchmark.rows}, key=order)


def published_figures(benchmark: Benchmark, tracker: Tracker) -> list[Published]:
    """Those of the benchmark's tasks and rows, for metrics that it has."""
    names = metric_names(benchmark)
    found = [
        figure
        for run in benchmark.runs.values()
        for figure in published(run, tracker)
        if figure.metric in names
    ]
    return list(dict.fromkeys(found))  # once for a task of several seeds


def table(
    benchmark: Benchmark,
    names: Sequence[str],
    found: Sequence[Difference],
    others: Sequence[Published] = (),
) -> list[Line]:
    """A line for each metric."""
    sources = list(dict.fromkeys(figure.source for figure in others))
    lines = []
    for name in names:
        rows = [benchmark.value(encoder, name) for encoder in benchmark.encoders]
        cells = tuple(cell(benchmark, encoder, name) for encoder in benchmark.encoders)
        verdicts = tuple(
            next((text(d) for d in found if (d.baseline, d.name) == (baseline, name)), "")
            for baseline in baselines(benchmark)
        )
        figures = [
            f"{number(name, figure.value, None)} [{sources.index(figure.source) + 1}]"
            f" beside {shortened(figure.encoder)}"
            for figure in others
            if figure.metric == name
        ]
        named = title(name) + other_unit(name)  # ' (%)' stands over the column
        shown = with_labels(named, [row.labels for row in rows if row])
        lines.append(Line(shown, cells, best(name, rows), verdicts, ", ".join(figures)))
    return lines


def with_labels(name: str, counts: Sequence[int | None]) -> str:
    """A metric's title with the number of labelled images that its rows were trained with."""
    known = sorted({count for count in counts if count is not None})
    if not known:
        return name
    return f"{name} ({' or '.join(f'{count:,}' for count in known)} labelled images)"


def cell(benchmark: Benchmark, encoder: str, name: str) -> str:
    """A number, 'failed', or a dash where the encoder has no such metric."""
    row = benchmark.value(encoder, name)
    if row is not None:
        return number(name, row.value, row.ci95)
    card = card_with(name.partition("/")[0])
    return "failed" if card and f"{card.name}[{encoder}]" in benchmark.failed else "–"


def repeated(row: Row) -> str:
    """The single runs behind a number: 'kNN, top-1, mae: 75.0 (seed 0), 74.0 (seed 1)'."""
    name = f"{row.task}/{row.metric}"
    runs = (f"{number(name, run['value'], None)} (seed {run['seed']})" for run in row.seeds)
    return f"{title(name)}, {row.encoder}: {', '.join(runs)}"


def best(name: str, rows: Sequence[Row | None]) -> int | None:
    """The place of the best row, None where no value is better than another."""
    values = [(row.value, place) for place, row in enumerate(rows) if row is not None]
    if not values or not is_compared(name):
        return None
    chosen = min if lower_is_better(name) else max
    return chosen(values, key=lambda value: value[0])[1]

"""Write report.html, report.md and report.json."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mae_core.files import write_bytes, write_json
from pipelines.display import duration
from pipelines.report.collect import Benchmark, Row, collect
from pipelines.report.differences import Difference, baselines, differences, summaries
from pipelines.report.encoders import facts, group_of, in_order, mean_ranks, spec_of
from pipelines.report.names import is_headline, is_known, number, order, title
from pipelines.report.pictures import pictures
from pipelines.report.published import Published, published
from pipelines.report.render import rendered, write_pages
from pipelines.report.stage_runs import commands, energy_note
from pipelines.report.stage_runs import facts as facts_of_stages
from pipelines.report.tables import about, missing, one_by_one, shortened, tables
from pipelines.tracking.tracker import Tracker


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
    names = metric_names(benchmark)
    headline = [name for name in names if is_headline(name)]
    ranks = mean_ranks(benchmark, headline)
    encoders = in_order(benchmark, ranks)
    shown = pictures(replace(benchmark, encoders=tuple(encoders)))
    for picture in shown:
        write_bytes(folder / picture.file, picture.png)
    found = differences(benchmark, names)
    of_headline = [one for one in found if one.name in headline]
    others = published_figures(benchmark, tracker)
    main = tables(benchmark, encoders, headline, found, others)
    more = tables(benchmark, encoders, [n for n in names if n not in headline], found, others)
    values = {
        "benchmark": benchmark,
        "baselines": baselines(benchmark),
        "summaries": summaries(benchmark, of_headline),
        "rows": [about(benchmark, encoder, ranks, of_headline) for encoder in encoders],
        "tables": main,
        "more": more,
        "missing": missing(benchmark, [*main, *more]),
        "comparisons": one_by_one(found),
        "sources": list(dict.fromkeys(figure.source for figure in others)),
        "repeated": [repeated(row) for row in benchmark.rows if row.seeds],
        "grouped": grouped(benchmark.rows),
        "pictures": shown,
        "stages": benchmark.stages,
        "energy": energy_note(benchmark.stages),
        "has_effort": any(stage.effort for stage in benchmark.stages),
        "has_energy": any(stage.power for stage in benchmark.stages),
        "commands": commands(benchmark.tags, benchmark.stages),
        "facts": facts_of_stages(benchmark.stages),
        "shortened": shortened,
        "duration": lambda seconds: duration(seconds / 3600),
    }
    write_pages("report", values, folder)
    content = {
        "rows": [row_as_json(row) for row in benchmark.rows],
        "encoders": {name: encoder_as_json(benchmark, name, ranks) for name in encoders},
        "comparisons": [difference_as_json(difference) for difference in found],
        "published": [asdict(figure) for figure in others],
        "left_out": benchmark.left_out,
        "stages": [stage.as_json() for stage in benchmark.stages],
        "reproduce": {"commands": values["commands"], **facts_of_stages(benchmark.stages)},
    }
    write_json(folder / "report.json", content, indent=2)
    return rendered("table.md", values)


def row_as_json(row: Row) -> dict[str, Any]:
    """A number as in report.json, without what it has not: several trainings, labels, groups, unit.

    A value that is not known is None, as JSON has no nan.
    """
    optional = ("seeds", "labels", "groups", "unit")
    found = {key: value for key, value in asdict(row).items() if key not in optional or value}
    for one in (found, *found.get("seeds", ())):
        one["value"] = one["value"] if is_known(one["value"]) else None
    return found


def difference_as_json(difference: Difference) -> dict[str, Any]:
    """A comparison as in report.json, with a unit where it has one of the data."""
    found = asdict(difference)
    return found if difference.unit else {k: v for k, v in found.items() if k != "unit"}


def encoder_as_json(
    benchmark: Benchmark, encoder: str, ranks: Mapping[str, float]
) -> dict[str, Any]:
    """What a row is, as in report.json; None for what is not known."""
    known = facts(benchmark, encoder)
    return {
        "group": group_of(benchmark, encoder),
        "spec": spec_of(benchmark, encoder),
        **{key: value if value != "" else None for key, value in asdict(known).items()},
        "non_commercial": known.non_commercial if known.licence else None,
        "mean_rank": ranks.get(encoder),
    }


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


def grouped(rows: Sequence[Row]) -> str:
    """The metrics whose intervals are over groups: 'kNN, top-1 (40 groups)'; '' without any."""
    found = [f"{title(f'{r.task}/{r.metric}')} ({r.groups} groups)" for r in rows if r.groups]
    return ", ".join(dict.fromkeys(found))


def repeated(row: Row) -> str:
    """The single runs behind a number: 'kNN, top-1, mae: 75.0 (seed 0), 74.0 (seed 1)'."""
    name = f"{row.task}/{row.metric}"
    runs = (
        f"{number(name, run['value'], None, row.unit)} (seed {run['seed']})" for run in row.seeds
    )
    return f"{title(name)}, {row.encoder}: {', '.join(runs)}"

"""`mae-bench compare`: two or more benchmarks side by side."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mae_core.errors import UserError, suggest
from mae_core.files import write_json, write_text
from pipelines.report.collect import Benchmark, Row, collect
from pipelines.report.differences import comparable
from pipelines.report.differences import difference as verdict_on
from pipelines.report.encoders import UNKNOWN, Facts, facts
from pipelines.report.markdown import as_markdown
from pipelines.report.names import (
    NO_VALUE,
    change,
    is_compared,
    is_known,
    number,
    order,
    other_unit,
    title,
    unit,
)
from pipelines.report.protocol import by_digest, by_name, cases_of, stored_config
from pipelines.stages import makers, stages
from pipelines.tracking.tracker import Tracker, flatten

SHOWN = 10  # benchmarks that a message names
SHORT = 8  # characters of a run's id
NOTE = (
    "Differences to the first benchmark, of percentages in points, with their 95 % interval. Those "
    "of the same test cases are paired; 'unpaired' ones are from the two intervals, as if the "
    "tests were independent."
)


@dataclass(frozen=True)
class Value:
    """A metric of one benchmark, and its difference to the first one.

    Attributes:
        value, ci95, mlflow_run_id, unit: as in report.json; None where the benchmark has no such
            number.
        difference, low, high: to the first benchmark, and its 95 % interval.
        p: of no difference, None without an interval.
        paired: whether the difference is of the same test cases; None without a difference.
        verdict: 'better', 'worse' or 'no difference shown', '' without an interval.
        about: what the verdict covers, see :class:`pipelines.report.differences.Difference`.
    """

    value: float | None = None
    ci95: float | None = None
    mlflow_run_id: str | None = None
    unit: str = ""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    paired: bool | None = None
    verdict: str = ""
    about: str = ""


@dataclass(frozen=True)
class Line:
    """A metric of an encoder, in each benchmark."""

    encoder: str
    task: str
    metric: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Changed:
    """A key of a stage's config that differs; None where a benchmark has no such key or stage."""

    stage: str
    key: str
    values: tuple[str | None, ...]


@dataclass(frozen=True)
class Side:
    """One of the benchmarks, with what its stages ran with."""

    benchmark: Benchmark
    date: str
    tracker: Tracker

    @property
    def name(self) -> str:
        """Such as 'demo 1a2b3c4d'."""
        return f"{self.benchmark.recipe} {self.benchmark.run_id[:SHORT]}"

    @cached_property
    def configs(self) -> dict[str, dict[str, Any]]:
        """By run id, the config of a stage's run."""
        runs = self.benchmark.runs.values()
        return {run.id: stored_config(run, self.tracker) for run in runs}

    def stages(self) -> dict[str, dict[str, str]]:
        """By stage, its config's keys with dots, and its code; data by its content.

        A stage that makes an encoder is there for each row, as 'pretrain[mae]'.
        """
        found: dict[str, dict[str, str]] = {}
        for run in self.benchmark.runs.values():
            flat = flatten(by_digest(by_name(self.configs[run.id]), run.data))
            known = {key: str(value) for key, value in flat.items()} or dict(run.params)
            if of_stage := run.code.get("stage") or run.code.get("hash"):
                known["(code)"] = of_stage
            if run.accepted_code:
                known["(accepted code)"] = run.accepted_code
            makes = run.stage in makers()
            found.setdefault(f"{run.stage}[{run.encoder}]" if makes else run.stage, known)
        return found

    def cases(self, row: Row) -> dict[str, Any] | None:
        """What decides the test cases behind a row."""
        run = next(r for r in self.benchmark.runs.values() if r.id == row.mlflow_run_id)
        return cases_of(self.configs[row.mlflow_run_id], run.data)


def compare(given: Sequence[str], tracker: Tracker, out: Path, console: Console) -> list[Line]:
    """Print the differences of benchmarks, and write `compare.md` and `compare.json` into `out`.

    Args:
        given: the ids of the benchmarks' runs, or how they begin; the first is compared with.

    Raises:
        UserError: if there are not two, or one is no benchmark.
    """
    ids = list(dict.fromkeys(find_benchmark(one, tracker) for one in given))
    if len(ids) < 2:
        raise UserError("compare takes two or more benchmarks: give the ids of their MLflow runs")
    sides = [side(run_id, tracker) for run_id in ids]
    found, differing = lines(sides), changed(sides)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "compare.md", markdown(sides, found, differing))
    content = {
        "runs": [
            {"mlflow_run_id": s.benchmark.run_id, "recipe": s.benchmark.recipe, "date": s.date}
            for s in sides
        ],
        "encoders": {encoder: of_encoder(sides, encoder) for encoder in encoders_of(sides)},
        "rows": [asdict(line) for line in found],
        "config": [asdict(one) for one in differing],
    }
    write_json(out / "compare.json", content, indent=2)
    made = table_of_encoders(sides), table_of_lines(sides, found), table_of_config(sides, differing)
    for table in made:
        console.print(table)
    console.print(f"{NOTE}\n{out / 'compare.md'}")
    return found


def find_benchmark(given: str, tracker: Tracker) -> str:
    """The full id of the benchmark's run whose id begins like this.

    Raises:
        UserError: if there is none, or more than one.
    """
    known = [run.id for run in tracker.find(stage="benchmark")]
    found = [run_id for run_id in known if given and run_id.startswith(given)]
    if len(found) > 1:
        raise UserError(f"'{given}' begins the ids of several benchmarks: {', '.join(found)}")
    if found:
        return found[0]
    if (run := tracker.look_up(given)) is None:
        latest = [run_id[:SHORT] for run_id in known[:SHOWN]]
        hint = suggest(given, latest) if latest else ": mae-bench run RECIPE makes one"
        raise UserError(f"no benchmark '{given}' in {tracker.place}{hint}")
    hint = ", and of no benchmark"
    if run.parent:
        hint = f": did you mean its benchmark, '{run.parent}'?"
    raise UserError(f"MLflow run '{given}' is of the stage '{run.stage}'{hint}")


def side(run_id: str, tracker: Tracker) -> Side:
    """A benchmark, read from MLflow."""
    return Side(collect(run_id, tracker), tracker.get(run_id).date, tracker)


def lines(sides: Sequence[Side]) -> list[Line]:
    """A line for each encoder and metric that any benchmark has, in the report's order."""
    encoders = encoders_of(sides)
    names = {f"{r.task}/{r.metric}" for side in sides for r in side.benchmark.rows}
    found = []
    for encoder in encoders:
        for name in sorted(filter(is_compared, names), key=order):
            if any(side.benchmark.value(encoder, name) for side in sides):
                task, _, metric = name.partition("/")
                found.append(Line(encoder, task, metric, tuple(values(sides, encoder, name))))
    return found


def encoders_of(sides: Iterable[Side]) -> list[str]:
    """The rows of all benchmarks, those of the first one first."""
    return list(dict.fromkeys(name for side in sides for name in side.benchmark.encoders))


def of_encoder(sides: Iterable[Side], encoder: str) -> list[dict[str, Any] | None]:
    """What each benchmark knows of a row's encoder; None where it has no such row."""
    return [
        asdict(facts(side.benchmark, encoder)) if encoder in side.benchmark.encoders else None
        for side in sides
    ]


def values(sides: Sequence[Side], encoder: str, name: str) -> list[Value]:
    """The metric in each benchmark."""
    rows = [side.benchmark.value(encoder, name) for side in sides]
    found = []
    for side, row in zip(sides, rows, strict=True):
        known: dict[str, Any] = {}
        if row is not None:
            known = {"ci95": row.ci95, "mlflow_run_id": row.mlflow_run_id, "unit": row.unit}
            known["value"] = row.value if is_known(row.value) else None
        first = rows[0] if side is not sides[0] else None
        apart = {} if first is None or row is None else difference(side, row, sides[0], first)
        found.append(Value(**known, **apart))
    return found


def difference(side: Side, row: Row, first_side: Side, first: Row) -> dict[str, Any]:
    """The fields of :class:`Value` about the difference of two benchmarks' rows."""
    if not comparable(row, first):
        return {"about": "another unit"} if row.unit != first.unit else {}
    name = f"{row.task}/{row.metric}"
    same = side.cases(row)
    known = same is not None and same == first_side.cases(first)
    cases = [s.benchmark.outcomes.get((row.encoder, name)) for s in (side, first_side)]
    found = verdict_on(row, first, *(cases if known else (None, None)))
    kept = ("difference", "low", "high", "p", "verdict", "paired", "about")
    return {key: getattr(found, key) for key in kept}


def changed(sides: Sequence[Side]) -> list[Changed]:
    """The config's keys that differ between benchmarks, by stage; by row too if several have it."""
    of_sides = [side.stages() for side in sides]
    names = sorted({name for one in of_sides for name in one}, key=place_of)
    rows = Counter(name.partition("[")[0] for name in names)
    found = []
    for stage in names:
        alone = stage.partition("[")[0]
        shown = alone if rows[alone] == 1 else stage
        keys = sorted({key for one in of_sides for key in one.get(stage, {})})
        for key in keys:
            values = tuple(one.get(stage, {}).get(key) for one in of_sides)
            if len(set(values)) > 1 and all(stage in one for one in of_sides):
                found.append(Changed(shown, key, values))
        if not all(stage in one for one in of_sides):
            here = tuple("ran" if stage in one else None for one in of_sides)
            found.append(Changed(shown, "(stage)", here))
    return found


def place_of(name: str) -> tuple[int, str]:
    """Key that sorts the names of :meth:`Side.stages`."""
    known, stage = list(stages()), name.partition("[")[0]
    return known.index(stage) if stage in known else len(known), name


def text(name: str, value: Value) -> str:
    """'+4.9 (2.1 to 7.7), better, unpaired: these two trainings, ...'; a dash without one."""
    if value.difference is None:
        return value.about or "–"
    bounds = None if value.low is None or value.high is None else (value.low, value.high)
    arm = bounds and (bounds[1] - bounds[0]) / 2
    parts = [change(name, value.difference, arm, value.unit)]
    if bounds:
        low, high = (change(name, end, arm).lstrip("+") for end in bounds)
        parts[0] += f" ({low} to {high})"
        parts.append(value.verdict)
    else:
        parts.append("no interval")
    said = ", ".join(parts if value.paired else [*parts, "unpaired"])
    return f"{said}: {value.about}" if value.verdict else said


def shown(name: str, value: Value) -> str:
    """The number, or a dash where the benchmark has none."""
    if value.mlflow_run_id is None:
        return "–"
    return NO_VALUE if value.value is None else number(name, value.value, value.ci95, value.unit)


def cells(line: Line) -> list[str]:
    """The texts of a line: encoder, metric, numbers, differences."""
    name = f"{line.task}/{line.metric}"
    numbers = [shown(name, value) for value in line.values]
    changes = [text(name, value) for value in line.values[1:]]
    return [line.encoder, title(name) + unit(name) + other_unit(name), *numbers, *changes]


def header(sides: Sequence[Side]) -> list[str]:
    """The titles over :func:`cells`."""
    names = [side.name for side in sides]
    return ["encoder", "task, metric", *names, *(f"{n} − {names[0]}" for n in names[1:])]


def encoder_cells(sides: Sequence[Side], encoder: str) -> list[str]:
    """A row's name, and what its encoder is in each benchmark."""
    known = (
        described(facts(side.benchmark, encoder)) if encoder in side.benchmark.encoders else "–"
        for side in sides
    )
    return [encoder, *known]


def described(known: Facts) -> str:
    """'vit-base-p16, 85.8 M parameters, 35.1 GFLOPs, 224×224, cc-by-nc-4.0 (non-commercial)'."""
    if known == Facts():
        return UNKNOWN
    licence = known.licence_shown(of_file=False) if known.licence else ""
    parts = (
        known.arch,
        f"{known.size} parameters",
        f"{known.cost} GFLOPs",
        known.pixels,
        licence,
        f"images: {known.protocol}" if known.protocol else "",
    )
    return ", ".join(part for part in parts if part)


def table_of_encoders(sides: Sequence[Side]) -> Table:
    """For a terminal."""
    table = Table(title="Encoders")
    for name in ("encoder", *(side.name for side in sides)):
        table.add_column(name)
    for encoder in encoders_of(sides):
        table.add_row(*map(escape, encoder_cells(sides, encoder)))
    return table


def table_of_lines(sides: Sequence[Side], found: Sequence[Line]) -> Table:
    """For a terminal."""
    table = Table(title="Differences")
    for place, name in enumerate(header(sides)):
        table.add_column(name, justify="right" if 2 <= place < 2 + len(sides) else "left")
    for line in found:
        table.add_row(*map(escape, cells(line)))
    return table


def table_of_config(sides: Sequence[Side], differing: Sequence[Changed]) -> Table:
    """For a terminal."""
    table = Table(title="Config keys that differ" if differing else "No config key differs")
    for name in ("stage", "key", *(side.name for side in sides)):
        table.add_column(name)
    for one in differing:
        table.add_row(*map(escape, (one.stage, one.key, *(v or "–" for v in one.values))))
    return table


def markdown(sides: Sequence[Side], found: Sequence[Line], differing: Sequence[Changed]) -> str:
    """All as Markdown."""
    ids = [f"- {as_markdown(s.name)}: `{s.benchmark.run_id}`, {s.date}" for s in sides]
    rows = [list(map(as_markdown, cells(line))) for line in found]
    config = ["No config key differs."]
    if differing:
        config = grid(["stage", "key", *(side.name for side in sides)], map(key_cells, differing))
    encoders = [list(map(as_markdown, encoder_cells(sides, one))) for one in encoders_of(sides)]
    parts = [
        ["# Benchmarks compared"],
        ids,
        grid(["encoder", *(side.name for side in sides)], encoders),
        grid(header(sides), rows),
        [NOTE],
        ["## Config keys that differ"],
        config,
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def key_cells(changed: Changed) -> list[str]:
    """A row of the table of config keys, as Markdown."""
    values = (as_markdown(value or "–") for value in changed.values)
    return [changed.stage, code(changed.key), *values]


def code(text: str) -> str:
    """A text as code in a Markdown table."""
    return "`" + text.replace("`", "'").replace("|", "\\|") + "`"


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table: its head is text, its rows are Markdown."""
    lines = ([as_markdown(name) for name in head], ["---"] * len(head), *rows)
    return ["| " + " | ".join(row) + " |" for row in lines]

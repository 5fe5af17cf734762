"""The report's tables: a line for each row of the benchmark, a column for each metric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.report.collect import Benchmark, Row
from pipelines.report.differences import VERDICTS, Difference, shown, text
from pipelines.report.encoders import (
    FILES,
    NONE,
    facts,
    group_of,
    input_sizes,
    spec_of,
)
from pipelines.report.names import (
    change,
    is_compared,
    is_known,
    lower_is_better,
    number,
    other_unit,
    title,
)
from pipelines.report.published import Published
from pipelines.stages import card_with

WIDEST = 8  # metrics of a table: more fit neither on a sheet of paper nor beside each other
LONGEST = 32  # characters of an encoder at the start of a line
MARKS = dict(zip(VERDICTS, "▲○▼", strict=True))


@dataclass(frozen=True)
class Number:
    """A metric of a row.

    Attributes:
        text: the number with its interval, 'failed', or a dash where the row has no such metric.
        best: whether no other row has a better value.
        change: the first row's value minus this one, such as '+2.2'; '' if they are not compared.
        verdict: on that, one of :data:`pipelines.report.differences.VERDICTS` or ''.
        said: the same with p, and what the verdict is about.
        published: figures of others for the same pretraining and protocol, each with the number
            of its source.
    """

    text: str
    best: bool = False
    change: str = ""
    verdict: str = ""
    said: str = ""
    published: str = ""

    @property
    def compared(self) -> str:
        """The difference with its verdict's mark: '+2.2 ▲'."""
        return f"{self.change} {MARKS.get(self.verdict, '')}".strip()


@dataclass(frozen=True)
class Line:
    """A row in a table."""

    encoder: str
    group: str
    cells: tuple[Number, ...]


@dataclass(frozen=True)
class Table:
    """Some metrics of all rows; `heads` are the metrics' titles."""

    heads: tuple[str, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class About:
    """What a row is, as texts for a table."""

    encoder: str
    group: str
    what: str
    rank: str
    verdicts: str
    parameters: str
    gflops: str
    pixels: str
    protocol: str
    licence: str
    non_commercial: bool


def tables(
    benchmark: Benchmark,
    encoders: Sequence[str],
    names: Sequence[str],
    found: Sequence[Difference],
    others: Sequence[Published] = (),
) -> list[Table]:
    """The numbers of the metrics `names`, side by side as far as they fit.

    Args:
        benchmark: whose.
        encoders: the rows in the order in which they are shown.
        names: the metrics, in order.
        found: differences to the first row.
        others: figures that were published.
    """
    made = []
    for part in parts(names):
        columns = [column(benchmark, encoders, name, found, others) for name in part]
        lines = [
            Line(encoder, group_of(benchmark, encoder), tuple(one[place] for one in columns))
            for place, encoder in enumerate(encoders)
        ]
        made.append(Table(tuple(head(benchmark, name) for name in part), tuple(lines)))
    return made


def parts(names: Sequence[str]) -> list[list[str]]:
    """Metrics in tables of at most :data:`WIDEST`, those of a section together if they fit."""
    sections: dict[str, list[str]] = {}
    for name in names:
        card = card_with(name.partition("/")[0])
        sections.setdefault(card.section if card else "", []).append(name)
    found: list[list[str]] = []
    for section in sections.values():
        for start in range(0, len(section), WIDEST):
            part = section[start : start + WIDEST]
            if found and len(found[-1]) + len(part) <= WIDEST:
                found[-1] += part
            else:
                found.append(part)
    return found


def column(
    benchmark: Benchmark,
    encoders: Sequence[str],
    name: str,
    found: Sequence[Difference],
    others: Sequence[Published],
) -> list[Number]:
    """A metric's number for each row."""
    rows = [benchmark.value(encoder, name) for encoder in encoders]
    place = best(name, rows)
    top = rows[place] if place is not None else None
    sources = list(dict.fromkeys(figure.source for figure in others))
    of_metric = {one.baseline: one for one in found if one.name == name}
    cells = []
    for encoder, row in zip(encoders, rows, strict=True):
        apart = of_metric.get(encoder)
        figures = [
            f"{number(name, figure.value, None)} [{sources.index(figure.source) + 1}]"
            for figure in others
            if (figure.metric, figure.encoder) == (name, encoder)
        ]
        cells.append(
            Number(
                cell(benchmark, encoder, name),
                best=bool(row and top and row.value == top.value),
                change=change(name, apart.difference, apart.arm, apart.unit) if apart else "",
                verdict=apart.verdict if apart else "",
                said=text(apart) if apart else "",
                published=", ".join(figures),
            )
        )
    return cells


def head(benchmark: Benchmark, name: str) -> str:
    """What stands over a metric's column: the title, and how many labels its rows had."""
    rows = [benchmark.value(encoder, name) for encoder in benchmark.encoders]
    return with_labels(title(name) + other_unit(name), [row.labels for row in rows if row])


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
        return number(name, row.value, row.ci95, row.unit)
    card = card_with(name.partition("/")[0])
    return "failed" if card and f"{card.name}[{encoder}]" in benchmark.failed else NONE


def best(name: str, rows: Sequence[Row | None]) -> int | None:
    """The place of the best row, None where no value is better than another."""
    values = [(row.value, place) for place, row in enumerate(rows) if row and is_known(row.value)]
    if not values or not is_compared(name):
        return None
    chosen = min if lower_is_better(name) else max
    return chosen(values, key=lambda value: value[0])[1]


def about(
    benchmark: Benchmark,
    encoder: str,
    ranks: Mapping[str, float],
    found: Sequence[Difference],
) -> About:
    """What a row is.

    Args:
        benchmark: whose row.
        encoder: the row's name.
        ranks: mean ranks of rows.
        found: differences to the first row, whose verdicts are counted.
    """
    known, group = facts(benchmark, encoder), group_of(benchmark, encoder)
    verdicts = [one.verdict for one in found if one.baseline == encoder and one.verdict]
    counts = [f"{MARKS[v]} {verdicts.count(v)}" for v in VERDICTS if v in verdicts]
    spec = spec_of(benchmark, encoder)
    arch = "" if spec.startswith(known.arch) else known.arch  # 'timm:resnet50@FILE' says it
    names = [name for name in (arch, spec) if name not in ("", encoder)]
    return About(
        encoder=encoder,
        group=group,
        what=", ".join(names) or NONE,
        rank=f"{ranks[encoder]:.1f}" if encoder in ranks else NONE,
        verdicts=", ".join(counts) or NONE,
        parameters=known.size,
        gflops=known.cost,
        pixels=input_sizes(benchmark, encoder),
        protocol=known.protocol or NONE,
        licence=known.licence_shown(group == FILES),
        non_commercial=known.non_commercial,
    )


def one_by_one(found: Sequence[Difference]) -> list[tuple[str, ...]]:
    """Each comparison: metric, other row, difference, interval, verdict, p, Holm's p, what about.

    A dash stands for what is not known without intervals.
    """
    lines: list[tuple[str, ...]] = []
    for one in found:
        interval = NONE
        if one.low is not None and one.high is not None:
            low, high = (change(one.name, end, one.arm) for end in (one.low, one.high))
            interval = f"{low} to {high} {one.unit}".rstrip()
        lines.append(
            (
                title(one.name) + other_unit(one.name),
                one.baseline,
                change(one.name, one.difference, one.arm, one.unit),
                interval,
                one.verdict or NONE,
                NONE if one.p is None else shown(one.p, ""),
                NONE if one.holm is None else shown(one.holm, ""),
                one.about if one.verdict else NONE,
            )
        )
    return lines


def missing(benchmark: Benchmark, made: Sequence[Table]) -> list[str]:
    """Why there are dashes in tables: 'finetune of pixels, rcf: needs ...'; none without a dash."""
    if not any(one.text == NONE for table in made for line in table.lines for one in line.cells):
        return []
    reasons: dict[str, dict[str, list[str]]] = {}
    for name, reason in benchmark.left_out.items():
        stage, _, encoder = name.partition("[")
        of_reason = reasons.setdefault(reason, {})
        of_reason.setdefault(stage, []).append(encoder.partition("]")[0])
    return [
        f"{stage} of {', '.join(dict.fromkeys(encoders))}: {reason}"
        for reason, of_reason in reasons.items()
        for stage, encoders in of_reason.items()
    ]


def shortened(encoder: str) -> str:
    """A name that fits at the start of a line: of a long one, such as a path, the end."""
    return encoder if len(encoder) <= LONGEST else f"…{encoder[-LONGEST:]}"

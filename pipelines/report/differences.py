"""Whether two rows differ, how sure that is, and what a verdict is about."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from downstream.outcomes import Episodes, Grouped, Outcomes, Repeated, Resampled
from downstream.statistics import Comparison, compare, compare_apart, holm
from mae_core.stage import Metric
from pipelines.report.collect import Benchmark, Row
from pipelines.report.encoders import GROUPS, group_of
from pipelines.report.names import change, is_compared, is_known, lower_is_better
from pipelines.stages import NO_FILE, makers

BASELINES = ("random", "supervised")
VERDICTS = ("better", "no difference shown", "worse")
OPPOSITE = {"better": "worse", "worse": "better"}
ONE = "these two trainings, other test images"
TASK = "these encoders, other trainings of the task, other test images"
ALL = "other trainings, other test images"
IMAGES, OF_GROUPS = "other test images", "other groups of test images"


@dataclass(frozen=True)
class Difference:
    """The first encoder against another row, as in report.json.

    Attributes:
        encoder, baseline, task, metric: what is compared; `baseline` is the other row.
        difference, low, high: in the metric's unit, and its 95 % interval; None without intervals.
        p: of no difference; None without intervals.
        verdict: one of :data:`VERDICTS` at 5 %, '' without intervals.
        paired: whether it is of the same test cases.
        about: what the verdict covers: :data:`ONE`, :data:`TASK` or :data:`ALL`, of
            :data:`OF_GROUPS` where test images come in groups.
        holm: p corrected for all comparisons of the report.
        strongest: whether it is a baseline, and no other one has a better value.
        unit: of the data, '' if the metric has none.
    """

    encoder: str
    baseline: str
    task: str
    metric: str
    difference: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    verdict: str = ""
    paired: bool = False
    about: str = ONE
    holm: float | None = None
    strongest: bool = False
    unit: str = ""

    @property
    def name(self) -> str:
        """Of the metric, such as 'knn/top1'."""
        return f"{self.task}/{self.metric}"

    @property
    def arm(self) -> float | None:
        """Half width of the interval, None without one."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def baselines(benchmark: Benchmark) -> tuple[str, ...]:
    """The rows that have to be beaten for a pretraining to be worth it.

    Those of :data:`BASELINES`, and those that the same stage of this benchmark made, as several
    pretrainings; else the last one.
    """
    first, *others = benchmark.encoders
    made_by = {one.encoder: one.stage for one in benchmark.stages if one.stage in makers()}
    known = [name for name in BASELINES if name in others]
    if first in made_by:
        known += [name for name in others if made_by.get(name) == made_by[first]]
    return tuple(known or others[-1:])


def rivals(benchmark: Benchmark) -> tuple[str, ...]:
    """The other rows that the first one is compared with, in the recipe's order."""
    known = baselines(benchmark)
    return tuple(name for name in benchmark.encoders[1:] if name not in known)


def differences(benchmark: Benchmark, names: Iterable[str]) -> list[Difference]:
    """The first encoder against each other, in each metric of `names` that both have.

    Of a metric those to baselines come first.
    """
    first, found = benchmark.encoders[0], []
    for name in filter(is_compared, names):
        one = benchmark.value(first, name)
        of_metric: dict[str, Difference] = {}
        for other_name in (*baselines(benchmark), *rivals(benchmark)):
            other = benchmark.value(other_name, name)
            if one and other and comparable(one, other):
                cases = (benchmark.outcomes.get((e, name)) for e in (first, other_name))
                of_metric[other_name] = difference(one, other, *cases)
        hardest = strongest([d for n, d in of_metric.items() if n in baselines(benchmark)])
        found += [replace(d, strongest=d in hardest) for d in of_metric.values()]
    return corrected(found)


def strongest(found: Sequence[Difference]) -> list[Difference]:
    """Of each metric the difference to the row with the best value, the first of equals."""
    by_metric: dict[str, Difference] = {}
    for one in found:
        sign = -1 if lower_is_better(one.name) else 1
        known = by_metric.get(one.name)
        if known is None or sign * one.difference < sign * known.difference:
            by_metric[one.name] = one
    return list(by_metric.values())


def corrected(found: Sequence[Difference]) -> list[Difference]:
    """The differences with Holm's p over all of them that have one."""
    tested = [one for one in found if one.p is not None]
    values = iter(holm([one.p for one in tested if one.p is not None]))
    return [replace(one, holm=next(values)) if one.p is not None else one for one in found]


def difference(
    one: Row, other: Row, cases: Outcomes | None = None, other_cases: Outcomes | None = None
) -> Difference:
    """Two rows of one metric: by their cases in pairs where both have the same, else by intervals.

    Args:
        one, other: the rows.
        cases, other_cases: outcomes of the cases behind them, None where they are not the same.
    """
    paired: Comparison | None = None
    if cases is not None and other_cases is not None and same_kind(cases, other_cases):
        paired = compare(cases, other_cases)
    apart = compare_apart(Metric(one.value, one.ci95), Metric(other.value, other.ci95))
    found = paired or apart
    value = one.value - other.value
    names = (one.encoder, other.encoder, one.task, one.metric)
    if found is None:
        return Difference(*names, value, about=about(one, other), unit=one.unit)
    verdict = found.verdict
    if lower_is_better(f"{one.task}/{one.metric}"):
        verdict = OPPOSITE.get(verdict, verdict)
    known = math.isfinite(found.low)
    return Difference(
        *names,
        difference=value,
        low=found.low if known else None,
        high=found.high if known else None,
        p=found.p,
        verdict=verdict,
        paired=paired is not None,
        about=about(one, other),
        unit=one.unit,
    )


def comparable(one: Row, other: Row) -> bool:
    """Whether two rows of a metric both have a value, in the same unit."""
    return is_known(one.value) and is_known(other.value) and one.unit == other.unit


def same_kind(one: Outcomes, other: Outcomes) -> bool:
    """Whether two outcomes can be of the same cases."""
    if isinstance(one, Episodes | Repeated):
        return type(one) is type(other) and one.same_draw(other)  # type: ignore[arg-type]
    if isinstance(one, Grouped) and isinstance(other, Grouped) and not one.same_groups(other):
        return False
    if isinstance(one, Resampled) and isinstance(other, Resampled) and one.groups != other.groups:
        return False
    return type(one) is type(other) and one.shape == other.shape


def about(one: Row, other: Row) -> str:
    """What a verdict on two rows covers, by how many trainings they are of."""
    if not (one.seeds and other.seeds):
        covered = ONE
    else:
        covered = ALL if min(encoders_of(one), encoders_of(other)) > 1 else TASK
    return covered.replace(IMAGES, OF_GROUPS) if one.groups and other.groups else covered


def encoders_of(row: Row) -> int:
    """How many encoders the runs of a row are of; random weights are others with each seed."""
    made = [run["encoder_run"] for run in row.seeds]
    from_scratch = row.encoder in NO_FILE and not any(made)
    return len(made) if from_scratch else len(set(made))


def covers(row: Row) -> str:
    """What the interval of a row covers."""
    images = f"{OF_GROUPS} ({row.groups})" if row.groups else IMAGES
    if not row.seeds:
        return f"this training, {images}"
    if encoders_of(row) > 1:
        return f"{encoders_of(row)} encoders: other trainings, {images}"
    return f"{len(row.seeds)} trainings of the task: others, {images}"


def text(found: Difference) -> str:
    """'+5.9, better (p = 0.004, Holm 0.02): these two trainings, other test images'."""
    said = change(found.name, found.difference, found.arm, found.unit)
    if not found.verdict:
        return said
    said += f", {found.verdict}"
    if found.p is not None:
        corrected_too = "" if found.holm is None else f", Holm {shown(found.holm, '')}"
        said += f" (p {shown(found.p, '= ')}{corrected_too})"
    return f"{said}: {found.about}"


def shown(p: float, equals: str) -> str:
    """'< 0.001', or the number after `equals`."""
    return "< 0.001" if p < 0.001 else f"{equals}{p:.2g}"


def summaries(benchmark: Benchmark, found: Sequence[Difference]) -> list[str]:
    """What the report says first: against the strongest baseline, then against each.

    Then, for each group of the other rows, against the strongest of them. Such as 'mae against the
    strongest baseline of each of 4 metrics (random in 3, supervised in 1): better in 3, worse in 1;
    these two trainings, other test images'.
    """
    known = [one for one in found if one.verdict]
    first, names, said = benchmark.encoders[0], baselines(benchmark), []
    if len(names) > 1:
        hardest = [one for one in known if one.strongest]
        each = shares(names, hardest)
        said += counted(first, f"the strongest baseline of each metric ({each})", hardest)
    for name in names:
        said += counted(first, name, [one for one in known if one.baseline == name])
    for group in GROUPS:
        others = [name for name in rivals(benchmark) if group_of(benchmark, name) == group]
        of_group = [one for one in known if one.baseline in others]
        if len(others) == 1:
            said += counted(first, others[0], of_group)
        elif others:
            hardest = strongest(of_group)
            against = f"the strongest row of each metric in '{group}' ({shares(others, hardest)})"
            said += counted(first, against, hardest)
    return said


def shares(names: Iterable[str], hardest: Sequence[Difference]) -> str:
    """'random in 3, supervised in 1': in how many metrics each row is the strongest."""
    of = [one.baseline for one in hardest]
    return ", ".join(f"{name} in {of.count(name)}" for name in names if name in of)


def counted(encoder: str, against: str, known: Sequence[Difference]) -> list[str]:
    """A line with how many verdicts there are of each kind; none without a verdict."""
    if not known:
        return []
    verdicts = [one.verdict for one in known]
    parts = ", ".join(f"{v} in {verdicts.count(v)}" for v in VERDICTS if v in verdicts)
    metrics = f"{len(known)} metric{'s' * (len(known) > 1)}"
    covered = "; ".join(dict.fromkeys(one.about for one in known))
    return [f"{encoder} against {against}, {metrics}: {parts} ({covered})"]

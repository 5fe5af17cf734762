"""Whether two rows differ, how sure that is, and what a verdict is about."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from downstream.outcomes import Episodes, Outcomes, Repeated
from downstream.statistics import Comparison, compare, compare_apart, holm
from mae_core.stage import Metric
from pipelines.report.collect import Benchmark, Row
from pipelines.report.names import change, is_compared, lower_is_better
from pipelines.stages import NO_FILE, makers

BASELINES = ("random", "supervised")
VERDICTS = ("better", "no difference shown", "worse")
OPPOSITE = {"better": "worse", "worse": "better"}
ONE = "these two trainings, other test images"
TASK = "these encoders, other trainings of the task, other test images"
ALL = "other trainings, other test images"


@dataclass(frozen=True)
class Difference:
    """The first encoder against a baseline, as in report.json.

    Attributes:
        encoder, baseline, task, metric: what is compared.
        difference, low, high: 0 to 1, and its 95 % interval; None without intervals.
        p: of no difference; None without intervals.
        verdict: one of :data:`VERDICTS` at 5 %, '' without intervals.
        paired: whether it is of the same test cases.
        about: what the verdict covers: :data:`ONE`, :data:`TASK` or :data:`ALL`.
        holm: p corrected for all comparisons of the report.
        strongest: whether no other baseline has a better value.
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

    @property
    def name(self) -> str:
        """Of the metric, such as 'knn/top1'."""
        return f"{self.task}/{self.metric}"


def baselines(benchmark: Benchmark) -> tuple[str, ...]:
    """The rows that the first one is compared with.

    Those of :data:`BASELINES`, and those that the same stage of this benchmark made, as several
    pretrainings; else the last one.
    """
    first, *others = benchmark.encoders
    made_by = {one.encoder: one.stage for one in benchmark.stages if one.stage in makers()}
    known = [name for name in BASELINES if name in others]
    if first in made_by:
        known += [name for name in others if made_by.get(name) == made_by[first]]
    return tuple(known or others[-1:])


def differences(benchmark: Benchmark, names: Iterable[str]) -> list[Difference]:
    """The first encoder against each baseline, in each metric of `names` that both have."""
    first, found = benchmark.encoders[0], []
    for name in filter(is_compared, names):
        one, of_metric = benchmark.value(first, name), []
        for baseline in baselines(benchmark):
            other = benchmark.value(baseline, name)
            if one and other:
                cases = (benchmark.outcomes.get((e, name)) for e in (first, baseline))
                of_metric.append(difference(one, other, *cases))
        found += with_strongest(of_metric)
    return corrected(found)


def with_strongest(found: Sequence[Difference]) -> list[Difference]:
    """One metric's differences, that to the best baseline marked as such."""
    if not found:
        return []
    sign = -1 if lower_is_better(found[0].name) else 1
    hardest = min(found, key=lambda one: sign * one.difference)
    return [replace(one, strongest=one is hardest) for one in found]


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
        return Difference(*names, value, about=about(one, other))
    verdict = found.verdict
    if lower_is_better(f"{one.task}/{one.metric}"):
        verdict = OPPOSITE.get(verdict, verdict)
    interval = (found.low, found.high, found.p)
    return Difference(*names, value, *interval, verdict, paired is not None, about(one, other))


def same_kind(one: Outcomes, other: Outcomes) -> bool:
    """Whether two outcomes can be of the same cases."""
    if isinstance(one, Episodes | Repeated):
        return type(one) is type(other) and one.same_draw(other)  # type: ignore[arg-type]
    return type(one) is type(other) and one.shape == other.shape


def about(one: Row, other: Row) -> str:
    """What a verdict on two rows covers, by how many trainings they are of."""
    if not (one.seeds and other.seeds):
        return ONE
    return ALL if min(encoders_of(one), encoders_of(other)) > 1 else TASK


def encoders_of(row: Row) -> int:
    """How many encoders the runs of a row are of; random weights are others with each seed."""
    made = [run["encoder_run"] for run in row.seeds]
    from_scratch = row.encoder in NO_FILE and not any(made)
    return len(made) if from_scratch else len(set(made))


def covers(row: Row) -> str:
    """What the interval of a row covers."""
    if not row.seeds:
        return "this training, other test images"
    if encoders_of(row) > 1:
        return f"{encoders_of(row)} encoders: other trainings, other test images"
    return f"{len(row.seeds)} trainings of the task: others, other test images"


def text(found: Difference) -> str:
    """'+5.9, better (p = 0.004, Holm 0.02): these two trainings, other test images', in points."""
    said = change(found.name, found.difference)
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

    Such as 'mae against the strongest baseline of each of 4 metrics (random in 3, supervised in
    1): better in 3, worse in 1; these two trainings, other test images'.
    """
    known = [one for one in found if one.verdict]
    first, names, said = benchmark.encoders[0], baselines(benchmark), []
    if len(names) > 1:
        hardest = [one for one in known if one.strongest]
        of = [one.baseline for one in hardest]
        each = ", ".join(f"{name} in {of.count(name)}" for name in names if name in of)
        against = f"the strongest baseline of each metric ({each})"
        said += counted(first, against, hardest)
    for name in names:
        said += counted(first, name, [one for one in known if one.baseline == name])
    return said


def counted(encoder: str, against: str, known: Sequence[Difference]) -> list[str]:
    """A line with how many verdicts there are of each kind; none without a verdict."""
    if not known:
        return []
    verdicts = [one.verdict for one in known]
    parts = ", ".join(f"{v} in {verdicts.count(v)}" for v in VERDICTS if v in verdicts)
    metrics = f"{len(known)} metric{'s' * (len(known) > 1)}"
    covered = "; ".join(dict.fromkeys(one.about for one in known))
    return [f"{encoder} against {against}, {metrics}: {parts} ({covered})"]

"""What the rows of a report are: group, order, architecture, size, cost, licence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from mae_core.licences import is_non_commercial
from mae_core.names import AT_RANDOM
from mae_core.names import TRIVIAL as NOT_LEARNT
from pipelines.report.collect import Benchmark
from pipelines.report.names import is_compared, is_known, lower_is_better
from pipelines.stages import NO_FILE, makers
from pipelines.tracking.stored_run import StoredRun

MADE, FILES, BASELINES, TRIVIAL = (
    "Pretrained here",
    "Weights from elsewhere",
    "Baselines",
    "Trivial features",
)
GROUPS = (MADE, FILES, BASELINES, TRIVIAL)
UNKNOWN, NONE = "unknown", "–"


@dataclass(frozen=True)
class Facts:
    """What is known of an encoder.

    Attributes:
        arch, family: its architecture's name, and the family of that; '' if unknown.
        parameters: how many; None if unknown.
        gflops: of one image of the input size, in 10^9; None if unknown.
        input_size: height and width in pixels; None if unknown.
        licence: of its file, '' if that says none.
        protocol: 'own' if images are prepared as its weights want them, 'same' if as the recipe
            says for all rows, '' if unknown.
    """

    arch: str = ""
    family: str = ""
    parameters: int | None = None
    gflops: float | None = None
    input_size: tuple[int, int] | None = None
    licence: str = ""
    protocol: str = ""

    @property
    def non_commercial(self) -> bool:
        """Whether the licence forbids commercial use."""
        return is_non_commercial(self.licence)

    @property
    def size(self) -> str:
        """The parameters as '85.8 M'."""
        return UNKNOWN if self.parameters is None else shown_count(self.parameters)

    @property
    def cost(self) -> str:
        """GFLOPs as '35.1'."""
        return UNKNOWN if self.gflops is None else f"{self.gflops:.3g}"

    @property
    def pixels(self) -> str:
        """The input size as '224×224'."""
        return UNKNOWN if self.input_size is None else "×".join(map(str, self.input_size))

    def licence_shown(self, of_file: bool) -> str:
        """The licence, what it forbids; a dash for an encoder that is of no file."""
        if not self.licence:
            return UNKNOWN if of_file else NONE
        return f"{self.licence} (non-commercial)" if self.non_commercial else self.licence


def shown_count(number: int) -> str:
    """'0', '950', '12.3 k', '85.8 M' or '1.01 G'."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * unit:  # what would be rounded up to 1000 of the next smaller
            return f"{number / unit:.3g} {letter}"
    return str(number)


def facts_of(run: StoredRun) -> Facts:
    """What a stage's run says of its encoder; what is not there, or not to be read, is unknown."""
    said = run.facts
    size = str(said.get("input_size", "")).split("x")
    whole = len(size) == 2 and all(side.isdecimal() for side in size)
    parameters, gflops = said.get("parameters", ""), said.get("gflops")
    try:
        cost = None if gflops is None else float(gflops)
    except ValueError:
        cost = None
    return Facts(
        arch=said.get("arch", ""),
        family=said.get("family", ""),
        parameters=int(parameters) if parameters.isdecimal() else None,
        gflops=cost,
        input_size=(int(size[0]), int(size[1])) if whole else None,
        licence=said.get("licence", ""),
        protocol=said.get("protocol", ""),
    )


def runs_of(benchmark: Benchmark, encoder: str) -> list[StoredRun]:
    """The stages' runs of a row: its tasks in order, then what made its encoder."""
    runs = [run for run in benchmark.runs.values() if run.encoder == encoder]
    return sorted(runs, key=lambda run: run.stage in makers())


def facts(benchmark: Benchmark, encoder: str) -> Facts:
    """What is known of a row's encoder, as in the first of its tasks that says it."""
    known = [one for one in map(facts_of, runs_of(benchmark, encoder)) if one != Facts()]
    return known[0] if known else Facts()


def input_sizes(benchmark: Benchmark, encoder: str) -> str:
    """The row's input size, and the tasks that take others: '32×32 (detect 64×64)'."""
    found: dict[str, list[str]] = {}
    for run in runs_of(benchmark, encoder):
        size = facts_of(run).pixels
        if size != UNKNOWN and run.stage not in found.setdefault(size, []):
            found[size].append(run.stage)
    if not found:
        return UNKNOWN
    first, *others = found
    apart = ", ".join(f"{' and '.join(found[size])} {size}" for size in others)
    return f"{first} ({apart})" if apart else first


def spec_of(benchmark: Benchmark, encoder: str) -> str:
    """What others call the row's encoder; the row's name if it has no other."""
    runs = runs_of(benchmark, encoder)
    # What makes an encoder may have a spec too: that of the one it goes on from.
    return runs[0].spec if runs and runs[0].stage not in makers() else encoder


def group_of(benchmark: Benchmark, encoder: str) -> str:
    """The one of :data:`GROUPS` that a row belongs to."""
    spec = spec_of(benchmark, encoder)
    if spec in NOT_LEARNT:
        return TRIVIAL
    if encoder in NO_FILE or spec in NO_FILE or spec.endswith(AT_RANDOM):
        return BASELINES
    cells = {f"{stage}[{encoder}]" for stage in makers()}
    return MADE if cells & {*benchmark.runs, *benchmark.failed} else FILES


def mean_ranks(benchmark: Benchmark, names: Sequence[str]) -> dict[str, float]:
    """Of each row that has one of the metrics `names`, the mean of its ranks; the best is 1.

    Ranks are among the rows that have the metric; rows of the same value share theirs. They are
    averaged over a task's metrics, then over tasks, so that a task of many metrics counts as one.
    """
    ranks: dict[str, dict[str, list[float]]] = {}
    for name in filter(is_compared, names):
        sign = 1 if lower_is_better(name) else -1
        rows = [benchmark.value(encoder, name) for encoder in benchmark.encoders]
        values = {row.encoder: sign * row.value for row in rows if row and is_known(row.value)}
        for encoder, value in values.items():
            before = sum(other < value for other in values.values())
            same = sum(other == value for other in values.values())
            of_task = ranks.setdefault(encoder, {}).setdefault(name.partition("/")[0], [])
            of_task.append(before + (same + 1) / 2)
    return {encoder: fmean(map(fmean, of_tasks.values())) for encoder, of_tasks in ranks.items()}


def in_order(benchmark: Benchmark, ranks: Mapping[str, float]) -> list[str]:
    """The rows as they are shown: by group, in each by mean rank.

    The row that the report is about comes first, with its group.
    """
    first = benchmark.encoders[0]
    groups = {encoder: group_of(benchmark, encoder) for encoder in benchmark.encoders}

    def place(encoder: str) -> tuple[Any, ...]:
        group = groups[encoder]
        rank = ranks.get(encoder, float("inf"))
        return group != groups[first], GROUPS.index(group), encoder != first, rank

    return sorted(benchmark.encoders, key=place)

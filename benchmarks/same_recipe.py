"""How often two rows that differ in nothing but seeds are called different (an A/A test).

    mae-bench run demo --work-dir runs/same -o "encoders=['random']" -o "repeats={'knn': 24, ...}"
    python benchmarks/same_recipe.py RUN --trainings 3

The runs of each metric are dealt, in the order of their seeds, to rows of as many trainings, and
each row is compared with each other, as a report compares two encoders.
"""

import argparse
from itertools import combinations

from pipelines.report.collect import Row, collect, joined, outcomes_of
from pipelines.report.differences import difference
from pipelines.report.names import metrics_of, order
from pipelines.tracking.tracker import Tracker


def main() -> None:
    """Print a line for each metric."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="id of a benchmark's MLflow run")
    parser.add_argument("--trainings", type=int, default=3, help="of each row")
    chosen = parser.parse_args()
    tracker = Tracker()
    runs = sorted(
        collect(chosen.run, tracker).runs.values(), key=lambda run: int(run.data.tags["seed"])
    )
    print(
        "| metric | rows | comparisons | called different | p < 0.001 |\n|---|---:|---:|---:|---:|"
    )
    total = [0, 0, 0]
    names: set[str] = set()
    for run in runs:
        names.update(metrics_of(run.data.tags["stage"], list(run.data.metrics)))
    for name in sorted(names, key=order):
        tested = [run for run in runs if name in run.data.metrics]
        kept = [outcomes_of(run, tracker).get(name) for run in tested]
        rows = []
        for begin in range(0, len(tested) - chosen.trainings + 1, chosen.trainings):
            part = slice(begin, begin + chosen.trainings)
            rows.append(joined("random", name, tested[part], kept[part]))
        found = [compared(*one, *other) for one, other in combinations(rows, 2)]
        counts = [len(found), sum(p < 0.05 for p in found), sum(p < 0.001 for p in found)]
        total = [a + b for a, b in zip(total, counts, strict=True)]
        print(f"| {name} | {len(rows)} | {counts[0]} | {counts[1]} | {counts[2]} |")
    print(f"| all | | {total[0]} | {total[1]} ({total[1] / max(total[0], 1):.1%}) | {total[2]} |")


def compared(one: Row, cases: object, other: Row, other_cases: object) -> float:
    """The p of two rows; 1 without one."""
    found = difference(one, other, cases, other_cases)
    return 1.0 if found.p is None else found.p


if __name__ == "__main__":
    main()

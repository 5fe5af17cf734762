"""`mae-bench report`, `compare` and `leaderboard`: what MLflow knows, read back."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer()


@contextmanager
def uncollected() -> Iterator[None]:
    """Within the block nothing looks for garbage: an eighth of the time that MLflow's import takes.

    What it makes stays.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@app.command()
def report(
    run_id: Annotated[str, typer.Argument(help="MLflow run id of a benchmark or a sweep.")],
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("report"),
    watts: Annotated[
        float | None, typer.Option(min=0.1, help="Power of a stage, to estimate its energy.")
    ] = None,
) -> None:
    """Write the report of a benchmark or a sweep again, from MLflow alone."""
    with uncollected():
        from pipelines.sweep.collect import is_sweep
        from pipelines.tracking.tracker import Tracker

        tracker = Tracker()
    if is_sweep(run_id, tracker):
        from pipelines.sweep.write import write_sweep

        write_sweep(run_id, tracker, out)
        print(out / "sweep.html")
    else:
        from pipelines.report.write import write_report

        write_report(run_id, tracker, out, watts)
        print(out / "report.html")


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(help="MLflow run ids of benchmarks, or how they begin.", metavar="RUN..."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("compare"),
) -> None:
    """Show how benchmarks differ from the first: numbers, and the config keys behind them."""
    with uncollected():
        from pipelines.report.compare import compare as compare_runs
        from pipelines.tracking.tracker import Tracker

        tracker = Tracker()
    compare_runs(runs, tracker, out, Console(highlight=False))


@app.command()
def leaderboard(
    task: Annotated[
        str, typer.Argument(help="A task, such as knn, or a metric: few-shot/5way1shot.")
    ],
) -> None:
    """Rank every encoder that was ever tested on a task with the same protocol."""
    from pipelines.stages import stage_of

    stage_of(task)  # here too, as MLflow takes two seconds to import
    with uncollected():
        from pipelines.report.leaderboard import leaderboard as show
        from pipelines.tracking.tracker import Tracker

        tracker = Tracker()
    show(task, tracker, Console(highlight=False))

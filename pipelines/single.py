"""One stage on its own, with the same reuse, resume and tracking as in a benchmark."""

from collections.abc import Sequence
from pathlib import Path

from joblib import cpu_count

from mae_core.published import resolve_encoder
from pipelines.cell import Cell, Outcome, Setting, run_cell
from pipelines.display import Display
from pipelines.launch import stopping_on_error
from pipelines.recipe import check_encoder, load_stage_config
from pipelines.tracking import Tracker


def run_single(
    stage: str, config: str, encoder: str, work_dir: Path | None, overrides: Sequence[str]
) -> Outcome:
    """Run `stage` with all CPU cores that this process may use.

    Raises:
        UserError: before anything is tracked, if config, encoder or data are wrong.
    """
    settings = load_stage_config(stage, config, overrides)
    check_encoder(encoder)
    folder = (work_dir or Path("runs") / Path(config).stem).absolute()
    cell = Cell(stage, encoder, resolve_encoder(encoder), settings)
    with Display() as display, stopping_on_error():
        setting = Setting(folder, Tracker(), display, recipe=Path(config).stem, threads=cpu_count())
        outcome = run_cell(cell, setting)
        display.say(f"MLflow run {outcome.run_id} in {setting.tracker.uri}")
    return outcome

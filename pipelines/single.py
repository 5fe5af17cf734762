"""One stage on its own, with the same reuse, resume and tracking as in a benchmark."""

from collections.abc import Sequence
from pathlib import Path

from mae_core.published import resolve_encoder
from pipelines.cell import Cell, Outcome, Setting, join_cell, run_cell
from pipelines.display import Display
from pipelines.launch import Resources, stopping_on_error
from pipelines.recipe import check_encoder, load_stage_config
from pipelines.tracking import Tracker


def run_single(
    stage: str,
    config: str,
    encoder: str,
    work_dir: Path | None,
    overrides: Sequence[str],
    machine: Resources,
    join: bool = False,
) -> Outcome | None:
    """Run `stage` with all CPU cores that this process may use.

    With `join` this machine only lends its devices to the one that runs the stage, and there is no
    outcome to tell.

    Raises:
        UserError: before anything is tracked, if config, encoder or data are wrong.
    """
    settings = load_stage_config(stage, config, overrides)
    check_encoder(encoder)
    folder = (work_dir or Path("runs") / Path(config).stem).absolute()
    cell = Cell(stage, encoder, resolve_encoder(encoder), settings)
    if join:
        with stopping_on_error():
            join_cell(cell, folder, machine)
        return None
    with Display() as display, stopping_on_error():
        setting = Setting(folder, Tracker(), display, Path(config).stem, resources=machine)
        outcome = run_cell(cell, setting)
        display.say(f"MLflow run {outcome.run_id} in {setting.tracker.uri}")
    return outcome

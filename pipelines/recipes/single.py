"""One stage on its own, with the same reuse, resume and tracking as in a benchmark."""

from collections.abc import Sequence
from pathlib import Path

import torch
from joblib import cpu_count
from mmengine.config import Config

from mae_core.data.sources import opened_once
from mae_core.errors import UserError, check_name
from pipelines.cells.accept import check_flags
from pipelines.cells.cell import Cell, cell_folder, on_machine, usable
from pipelines.cells.command_line import command_line
from pipelines.cells.folder import exclusive_lock, set_aside
from pipelines.cells.launch import stopping_on_error
from pipelines.cells.resources import Resources, visible_gpus
from pipelines.cells.run_cell import Outcome, Setting, join_cell, run_cell
from pipelines.display import Display
from pipelines.identity import look_again
from pipelines.last_net import check_writable
from pipelines.recipes.checks import START, find_encoder, lacking, start_of
from pipelines.recipes.recipe import load_stage_config
from pipelines.stages import NO_FILE, card_of, check_stage, makers, stages
from pipelines.tracking.encoders import Lookup


def run_single(
    stage: str,
    config: str,
    encoder: str,
    work_dir: Path | None,
    overrides: Sequence[str],
    machine: Resources | None = None,
    fresh: bool = False,
    accept_code: bool = False,
) -> Outcome:
    """Run `stage` on `machine`; on one device without it.

    With `fresh` it is computed again, and what is there of it is set aside. With `accept_code` it
    goes on with a training of other code, see :mod:`pipelines.cells.accept`.

    Raises:
        UserError: before anything is tracked, if config, encoder, data or machine are wrong.
    """
    check_flags(fresh, accept_code)
    look_again()
    machine, lookup = machine or Resources(), Lookup()
    cell, folder = prepare(stage, config, encoder, work_dir, overrides, machine, lookup)
    check_writable(folder)
    with Display() as display, stopping_on_error():
        setting = Setting(
            folder,
            lookup.tracker,
            display,
            Path(config).stem,
            resources=machine,
            elsewhere=not fresh,
            accept_code=accept_code,
            command=command_line(
                *(stage, config, "--encoder", encoder),
                overrides=overrides,
                devices=machine.devices if machine.devices > 1 else None,
            ),
        )
        if hint := idle_cores(usable(cell, machine)):
            display.say(hint)
        if fresh:
            set_aside(folder, display.say, cell_folder(cell, folder))
        with exclusive_lock(folder, shared=True, say=display.say):
            outcome = run_cell(cell, setting)
        display.say(f"MLflow run {outcome.run_id} in {setting.tracker.place}")
    return outcome


def idle_cores(machine: Resources) -> str:
    """What to do if a stage on CPUs would leave cores idle, '' if it leaves none."""
    cores = cpu_count()
    if visible_gpus() or machine.threads * machine.devices >= cores:
        return ""
    return (
        f"computes with {machine.threads} thread(s) on {cores} cores: `-o threads={cores}` is "
        "faster, with other last digits"
    )


def join_single(
    stage: str,
    config: str,
    encoder: str,
    work_dir: Path | None,
    overrides: Sequence[str],
    machine: Resources,
    fresh: bool = False,
    accept_code: bool = False,
) -> None:
    """Lend `machine` to another one that runs the same command.

    Raises:
        UserError: as :func:`run_single`.
    """
    cell, folder = prepare(stage, config, encoder, work_dir, overrides, machine, Lookup())
    for flag, given in (("--fresh", fresh), ("--accept-code", accept_code)):
        if given:
            raise UserError(f"{flag} goes with the command that runs the stage, not with --join")
    if machine.nodes == 1:
        raise UserError("--join needs --nodes, the number of machines that share the work")
    with stopping_on_error():
        join_cell(cell, folder, machine)


def prepare(
    stage: str,
    config: str,
    encoder: str,
    work_dir: Path | None,
    overrides: Sequence[str],
    machine: Resources,
    lookup: Lookup,
) -> tuple[Cell, Path]:
    """The cell on this machine, both checked, and the folder for everything."""
    if card_of(stage).takes == "nothing" and encoder != "random":
        raise UserError(
            f"{stage} begins with random weights, so --encoder {encoder} would mean nothing: leave "
            "it out"
        )
    settings = load_stage_config(stage, config, overrides, lookup=lookup)
    if stage in makers():
        encoder = begun_with(settings, encoder)
    found = find_encoder(encoder, lookup, names_for(stage))
    folder = (work_dir or Path("runs") / Path(config).stem).expanduser().absolute()
    check_name(str(folder))
    with opened_once():
        if reason := lacking(stage, settings, found.path):
            raise UserError(f"--encoder {encoder}: {reason}")
        check_stage(stage, settings, found.path)
    check_machine(stage, machine)
    cell = Cell(stage, encoder, found.path, settings, encoder_run=found.run_id)
    return on_machine(cell, machine), folder


def begun_with(config: Config, encoder: str) -> str:
    """What a pretraining begins with; noted in its config, with which it can be run again.

    Args:
        config: of the stage, is changed.
        encoder: as the command names it; 'random', which it is without being named, leaves it to
            the config's key `start`.
    """
    if encoder == "random":
        return start_of(config)
    config.start = encoder
    return encoder


def names_for(stage: str) -> tuple[str, ...]:
    """The encoders without a file that a stage takes."""
    if card_of(stage).takes == "classifier":
        return ()
    if card_of(stage).takes == "start":
        return START
    if stages()[stage].from_scratch:
        return NO_FILE
    return tuple(name for name in NO_FILE if name != "supervised")


def check_machine(stage: str, machine: Resources) -> None:
    """Raise UserError unless the stage can be run so."""
    if machine.nodes > 1 and not stages()[stage].several_devices:
        several = ", ".join(name for name, card in stages().items() if card.several_devices)
        raise UserError(f"{stage} runs on one machine; several share {several}")
    host, colon, port = machine.rendezvous.rpartition(":")
    if machine.nodes > 1 and not (host and colon and port.isdigit()):
        raise UserError(
            f"--nodes {machine.nodes} needs --rendezvous host:port of the first machine, found "
            f"'{machine.rendezvous}'"
        )
    gpus = torch.cuda.device_count()
    if gpus and machine.devices > gpus:
        raise UserError(f"--devices {machine.devices}: this machine has {gpus} GPU(s)")

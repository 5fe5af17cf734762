"""`--accept-code`: go on with a training that other code began, or take one that it finished.

Only trainings are accepted: what a stage measures is measured by the code that is there. The folder
of the other code stays as it is, and nothing but code may differ.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from mae_core.engine.auto_batch import RECORD as BATCH_SIZE
from mae_core.engine.step_checkpoints import checkpoints, step_of
from mae_core.errors import UserError
from mae_core.files import replacing, write_json, write_text
from mae_core.stage import StageResult
from pipelines.cells.cell import Cell
from pipelines.cells.folder import (
    ACCEPTED,
    CONFIG,
    LOCK,
    RECORD,
    accepted_codes,
    finished_result,
    locked_at_once,
    read_record,
)
from pipelines.cells.inputs import aside
from pipelines.cells.job import ACCEPTED_CODE, LINEAGE, LOG, PATCH, about, write_job
from pipelines.cells.reuse import places, whole_result
from pipelines.cells.unfinished import INPUTS, Other, others
from pipelines.events import EVENTS, read_events
from pipelines.stages import makers
from pipelines.tracking.handover import BEST

Say = Callable[[str], None]


def check_flags(fresh: bool, accept_code: bool) -> None:
    """Raise UserError for two wishes that contradict each other."""
    if fresh and accept_code:
        raise UserError(
            "--fresh computes everything again and --accept-code goes on with what other code "
            "began: leave one of them out"
        )


def accept(cell: Cell, folder: Path, say: Say) -> None:
    """Bring what came furthest among the trainings beside `folder` that differ in code alone there.

    What `folder` has itself stays if it came as far, and is put aside if not. A stage that other
    code has finished is taken only where its result is an encoder.

    Args:
        cell: whose training it is.
        folder: of the cell, locked.
        say: told of what is taken, and of what cannot be.
    """
    if finished_result(folder):  # whose MLflow run is not closed yet
        return
    own = checkpoints(folder)
    reached = step_of(own[0]) if own else -1
    found = [other for other in others(folder, about(cell)) if other.differs == ["code"]]
    for other in sorted(found, key=progress, reverse=True):
        if progress(other) <= reached or (other.finished and cell.stage not in makers()):
            continue
        with locked_at_once(other.folder / LOCK) as free:
            if not free:
                say(f"{other.folder} is in use: what is trained there is not taken")
            elif take(other, cell, folder, say):
                return


def progress(other: Other) -> float:
    """The step that a training has reached; more than any for a finished one."""
    return step_of(other.newest) if other.newest else float("inf")


def take(other: Other, cell: Cell, folder: Path, say: Say) -> bool:
    """Whether the state of another code's training, or its result if it has one, is in `folder`."""
    result = None
    if other.finished:
        result = whole_result(other.folder, other.about[INPUTS], say)
        if result is None:
            return False
    if (folder / RECORD).exists() or checkpoints(folder):
        say(f"what was begun here is now in {aside(folder, 'before')}")
    codes = trained_by(other, result)
    record = {"codes": codes, "folder": other.folder.name}
    record["run_id"] = read_record(other.folder / RECORD).get("run_id", "")
    write_json(folder / ACCEPTED, record)  # before the state that it tells of
    copy_events(other, folder)
    if result is None:
        copy(other.folder / BATCH_SIZE, folder / BATCH_SIZE)
        for path in [*other.folder.glob(BEST), *checkpoints(other.folder)[::-1]]:
            link(path, folder / path.name)
        what = f"goes on from {other.newest}"
    else:
        take_result(other, result, cell, folder)
        what = f"takes the result in {other.folder}"
    say(f"{what}, of other code ({', '.join(codes)}), as --accept-code says")
    return True


def trained_by(other: Other, result: StageResult | None) -> list[str]:
    """The hashes of all code that a training has gone through, the first first."""
    last = result.inputs.get("code") if result else None
    last = last or other.about[INPUTS]["code"]
    return list(dict.fromkeys([*accepted_codes(other.folder), last]))


def take_result(other: Other, result: StageResult, cell: Cell, folder: Path) -> None:
    """Copy a finished training, with what is known of how it came about."""
    write_job(cell, folder, about(cell))
    for name in (CONFIG, PATCH, LOG):
        copy(other.folder / name, folder / name)
    lineage = read_record(other.folder / LINEAGE)
    lineage[ACCEPTED_CODE] = " ".join(accepted_codes(folder))
    write_json(folder / LINEAGE, lineage)
    for place in places(result, other.folder).values():  # the result itself is the last
        copy(other.folder / place, folder / place)


def copy_events(other: Other, folder: Path) -> None:
    """Copy what was measured until the last checkpoint: what came after is measured again."""
    events = read_events(other.folder / EVENTS)
    lines = [json.dumps(event) for event in events if event.get("step", 0) <= progress(other)]
    write_text(folder / EVENTS, "".join(f"{line}\n" for line in lines))


def copy(source: Path, target: Path) -> None:
    """Copy a file, if it is there."""
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as part:
            shutil.copyfile(source, part)


def link(source: Path, target: Path) -> None:
    """A checkpoint under another name: nobody changes one in place."""
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        copy(source, target)

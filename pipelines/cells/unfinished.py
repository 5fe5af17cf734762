"""Work of the same stage, row and seed beside a stage's folder, of which it takes no notice."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mae_core.engine.step_checkpoints import checkpoints
from pipelines.cells.folder import CONFIG, JOB, LOCK, finished_result, locked_at_once, read_record
from pipelines.stages import makers

INPUTS, SETTINGS, SEED, COMMIT = "inputs", "settings", "seed", "commit"  # of a job's file


@dataclass(frozen=True)
class Other:
    """A stage's work in another folder.

    Attributes:
        folder: its own.
        about: what its job's file says of it.
        differs: what it was begun with that is other, see :func:`differing`.
        newest: the last checkpoint of a training that stopped; None of a finished stage.
    """

    folder: Path
    about: Mapping[str, Any]
    differs: list[str]
    newest: Path | None

    @property
    def finished(self) -> bool:
        """Whether the stage has a result."""
        return self.newest is None


def others(folder: Path, about: Mapping[str, Any]) -> Iterator[Other]:
    """What stopped or has finished beside `folder`; nobody works at the current one.

    Args:
        folder: of the stage that is about to begin.
        about: what its job's file says of it.
    """
    name = folder.name.rpartition("-")[0]  # without the fingerprint
    for other in sorted(folder.parent.glob(f"{name}-*")):
        if other == folder or other.name.rpartition("-")[0] != name:
            continue
        with locked_at_once(other / LOCK) as free:
            known, found = read_record(other / JOB), checkpoints(other)
            if not free or known.get(SEED, about[SEED]) != about[SEED]:
                continue
            if finished_result(other):
                yield Other(other, known, differing(known, about), None)
            elif found:
                yield Other(other, known, differing(known, about), found[0])


def others_like(folder: Path, about: Mapping[str, Any], stage: str) -> Iterator[str]:
    """A line for each training that stopped, or that other code has finished, beside `folder`.

    Args:
        folder: of the stage that is about to begin.
        about: what its job's file says of it.
        stage: its name.
    """
    for other in others(folder, about):
        if other.newest:
            yield hint(other, other.newest)
        elif other.differs == ["code"]:
            line = f"starts anew beside {other.folder}, which other code has finished"
            if stage in makers():
                line += ": to take that, stop this and run the same command with --accept-code"
            yield line


def hint(other: Other, newest: Path) -> str:
    """What a training differs in, and how to go on with it."""
    back = []
    if "code" in other.differs:
        commit = other.about.get(COMMIT)
        back.append(f"its code (git checkout {commit[:12]})" if commit else "its code")
    if "config" in other.differs:
        back.append(f"its config ({other.folder / CONFIG})")
    back += [name for name in other.differs if name not in ("code", "config")]
    way = f"bring back {', '.join(back) or 'what it began with'} and run the same command again"
    if other.differs == ["code"]:
        way = f"run the same command with --accept-code; or {way}"
    return (
        f"starts anew beside {newest}, which is of the same stage and row but other "
        f"{', '.join(other.differs) or 'work'}: to go on from there, stop this, {way}; "
        "`mae-bench clean unfinished` removes it"
    )


def differing(known: Mapping[str, Any], about: Mapping[str, Any]) -> list[str]:
    """What two jobs differ in: 'code', 'config', 'encoder', or the places of data."""
    if INPUTS not in known:
        return []
    one, other = known[INPUTS], about[INPUTS]
    found = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return found + ["config"] * (known.get(SETTINGS) != about[SETTINGS])

"""Trainings that were begun and not finished, of which a new one takes no notice."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mae_core.engine.step_checkpoints import checkpoints
from pipelines.cells.folder import CONFIG, JOB, LOCK, finished_result, locked_at_once, read_record

INPUTS, SETTINGS, SEED, COMMIT = "inputs", "settings", "seed", "commit"  # of a job's file


def others_like(folder: Path, about: Mapping[str, Any]) -> Iterator[str]:
    """A line for each training of the same stage, row and seed that stopped beside `folder`.

    Args:
        folder: of the stage that is about to begin.
        about: what its job's file says of it.
    """
    name = folder.name.rpartition("-")[0]  # without the fingerprint
    for other in sorted(folder.parent.glob(f"{name}-*")):
        if other == folder or other.name.rpartition("-")[0] != name or finished_result(other):
            continue
        found = checkpoints(other)
        with locked_at_once(other / LOCK) as free:
            known = read_record(other / JOB)
            same_seed = known.get(SEED, about[SEED]) == about[SEED]
            if found and free and same_seed:
                yield hint(other, found[0], known, about)


def hint(other: Path, newest: Path, known: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """What the training in `other` differs in, and how to go on with it."""
    differs = differing(known, about)
    back = []
    if "code" in differs:
        commit = known.get(COMMIT)
        back.append(f"its code (git checkout {commit[:12]})" if commit else "its code")
    if "config" in differs:
        back.append(f"its config ({other / CONFIG})")
    back += [name for name in differs if name not in ("code", "config")]
    return (
        f"starts anew beside {newest}, which is of the same stage and row but other "
        f"{', '.join(differs) or 'work'}: to go on from there, stop this, bring back "
        f"{', '.join(back) or 'what it began with'} and run the same command again; "
        "`mae-bench clean unfinished` removes it"
    )


def differing(known: Mapping[str, Any], about: Mapping[str, Any]) -> list[str]:
    """What two jobs differ in: 'code', 'config', 'encoder', or the places of data."""
    if INPUTS not in known:
        return []
    one, other = known[INPUTS], about[INPUTS]
    found = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return found + ["config"] * (known.get(SETTINGS) != about[SETTINGS])

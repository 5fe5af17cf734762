"""The winner of a sweep, run once more on the images that no trial was tested on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mae_core.errors import UserError
from pipelines.cells.run_cell import Outcome, Setting
from pipelines.display import Prefixed
from pipelines.sweep.best import LATEST, SEED, SETTINGS, Best, best_of, fresh_seeds, settings
from pipelines.sweep.collect import WINNER, Entry, entries
from pipelines.sweep.record import told_run
from pipelines.sweep.space import Sweep, Values, short_names
from pipelines.sweep.trial import note, run_cells
from pipelines.tracking.patience import patiently
from pipelines.tracking.stored_run import StoredRun
from pipelines.tracking.tracker import Tracker

RECIPES = "recipes"  # tag of a winner's run: their keys


def run_winner(sweep: Sweep, setting: Setting) -> float:
    """Run the best values on the recipe's own images; the goal that they reach there.

    What does not depend on those images, such as a pretraining, is reused from the trial. Where
    `seed` is a parameter all is trained again with seeds that no trial had.

    Raises:
        UserError, StageFailed, StageInterrupted: as :func:`pipelines.cells.cell.run_cell`.
    """
    tracker, parent = setting.tracker, str(setting.parent)
    sweep_run = patiently(lambda: tracker.get(parent), tracker.place)
    trials = patiently(lambda: entries(sweep_run, tracker), tracker.place)
    best = best_of(trials, sweep.goal)
    if best is None:
        raise UserError("no trial came to its end with the goal: there is no winner to report")
    recipes = [sweep.reported_recipe_of(values) for values in to_run(best, trials, sweep)]
    tags = {
        "stage": WINNER,
        "recipe": sweep.name,
        "encoders": json.dumps(sweep.base.encoders),
        SETTINGS: settings(best.values),
        RECIPES: json.dumps([recipe.key for recipe in recipes]),
    }
    earlier = next((run for run in winner_runs(parent, tracker) if has(run, tags)), None)
    known = earlier.id if earlier else ""
    run_id = tracker.start(WINNER, tags, parent, resumed=known)
    patiently(lambda: tracker.tag(parent, **{LATEST: run_id}), tracker.place)
    display = Prefixed(setting.display, WINNER)
    own = replace(setting, parent=run_id, display=display)
    done: dict[str, Outcome] = {}
    with told_run(run_id, tracker):
        for number, recipe in enumerate(recipes):
            cells = run_cells(recipe, own)
            done |= {f"{name}@{number}": outcome for name, outcome in cells.items()}
        reached = note(done, sweep.goal, run_id, tracker)
    return reached


def to_run(best: Best, trials: Sequence[Entry], sweep: Sweep) -> list[Values]:
    """The values of each run of the winner, by the parameters' keys."""
    keys = {name: key for key, name in short_names(list(sweep.space)).items()}
    fixed = {keys[name]: value for name, value in best.values.items()}
    seeds = fresh_seeds(best, trials, max(sweep.base.repeats.values(), default=1))
    return [{**fixed, keys[SEED]: seed} for seed in seeds] or [fixed]


def winner_runs(sweep_run: str, tracker: Tracker) -> list[StoredRun]:
    """The runs of all that have been winners of a sweep, the latest first."""
    return patiently(lambda: tracker.find(parent=sweep_run, stage=WINNER), tracker.place)


def has(run: StoredRun, tags: Mapping[str, str]) -> bool:
    """Whether a run is of the same values and recipes."""
    return all(run.tags.get(key) == tags[key] for key in (SETTINGS, RECIPES))

"""Whether the images that a winner is reported on had no part in its choice; imports torch."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from downstream.dense.data import mask_splits
from downstream.dense.instances import instance_splits
from mae_core.agreement import image_sets
from mae_core.data.overlap import FEW, identities
from mae_core.data.sources import open_source
from mae_core.errors import UserError
from pipelines.recipes.matrix import planned_cells
from pipelines.recipes.recipe import Recipe
from pipelines.stages import stage_of

# Of images from a source.
CHOICE = (
    "names_in",
    "part",
    "per_class",
    "seed",
    "per_class_seed",
    "split",
    "columns",
    "root",
    "group",
    "unit",
)


def check_held_out(goal: str, trials: Recipe, reported: Recipe, pruned: bool) -> None:
    """Raise UserError if an image on which the winner is to be reported also chooses it.

    Images choose by the goal, and where trials end early by what their first training logs of its
    val images. Copies of an image under another name are not found.

    Args:
        goal: a metric of one of the recipes' stages.
        trials: the recipe of the trials.
        reported: that of the winner.
        pruned: whether trials may end early.
    """
    stage = goal_stage(goal)
    first = next(cell.stage for cell, _ in planned_cells(trials))
    choosing = {stage, first} if pruned else {stage}
    chosen_on = [name for one in choosing for name in evaluated_images(trials.configs[one])]
    kept = evaluated_images(reported.configs[stage])
    if not kept or not chosen_on:
        raise UserError(f"select_on: '{goal}' is measured on no images that could be others")
    exact = len(chosen_on) + len(kept) <= FEW
    known = set(identities(chosen_on, exact))
    shared = sum(image in known for image in identities(kept, exact))
    if shared:
        raise UserError(
            f"{shared:,} of the {len(kept):,} images that the winner is reported on choose it too "
            f"({', '.join(sorted(choosing))}), such as those of {kept[0]}: name others in "
            "select_on, and where trials end early for what their training looks at"
        )


def goal_stage(goal: str) -> str:
    """The stage that measures a goal."""
    name = goal.partition("/")[0]
    return name if name in ("pretrain", "supervise") else stage_of(goal)


def evaluated_images(config: Config) -> list[str]:
    """Where each image lies that a stage is tested on, or looks at while it trains."""
    if config.stage == "detect":
        split = instance_splits(config)["val"]
        return [str(split.images / image["file_name"]) for image in split.content.images]
    if config.stage == "segment":
        return [str(image) for image, _ in mask_splits(config)["val"].pairs]
    found = []
    for fields in evaluated_sets(config):
        chosen = {key: fields[key] for key in CHOICE if key in fields}
        source = open_source(fields["data"], **chosen)
        found += [source.name(number) for number in range(len(source))]
    return found


def evaluated_sets(config: Config) -> Iterator[Mapping[str, Any]]:
    """The sets of images under keys such as `val_data`, and those of `evaluate`.

    Of a suite those of its data sets, whatever it inherits beside them.
    """
    content = config.to_dict()
    for place, fields in image_sets(content.get("datasets") or content):
        if "sets" in fields:
            yield from fields["sets"]
        elif any(part.startswith("val") for part in place.split(".")):
            yield fields

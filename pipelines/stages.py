"""The stages: the list of their cards, and what the orchestration asks of a stage."""

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mae_core.card import MetricInfo, Stage
from mae_core.errors import UserError, suggest
from mae_core.names import FILELESS
from mae_core.stage import Reporter, StageResult
from pipelines.last_net import checking

if TYPE_CHECKING:
    from mmengine.config import Config


StageFunction = Callable[["Config", str, Path, Reporter], StageResult]

CARDS = (  # modules, in the order of the report's tables
    "mae_core.pretrain_card",
    "downstream.classification.card",
    "downstream.retrieval.card",
    "downstream.few_shot.card",
    "downstream.classification.evaluate_card",
    "downstream.detection.card",
    "downstream.segmentation.card",
    "downstream.analysis.card",
)
PLUGINS = "mae_bench.stages"  # the group of entry points by which other packages name theirs
NO_FILE = FILELESS  # names of rows that begin without a file
RUNS, MODELS = "runs:/", "models:/"  # begin the names of what MLflow keeps


@cache
def stages() -> dict[str, Stage]:
    """All cards by the stages' names: ours, then those of installed packages.

    Raises:
        UserError: if a package's module of cards cannot be imported, or a name is there twice.
    """
    found: dict[str, Stage] = {}
    taken: set[str] = set()  # also by what metrics' names begin with
    for module in (*CARDS, *plugins()):
        for card in cards_of(module):
            for name in {card.name, card.prefix}:
                if name in taken:
                    raise UserError(f"{module} brings a stage '{name}', which is there already")
            taken |= {card.name, card.prefix}
            found[card.name] = card
    return found


def plugins() -> Iterator[str]:
    """The modules of cards that installed packages name, in alphabetical order."""
    yield from sorted(point.value for point in entry_points(group=PLUGINS))


def cards_of(module: str) -> tuple[Stage, ...]:
    """The cards in a module."""
    try:
        cards = tuple(importlib.import_module(module).CARDS)
        if odd := [one for one in cards if not isinstance(one, Stage)]:
            raise TypeError(f"{odd[0]!r} is none")
    except Exception as error:  # whatever the package does
        raise UserError(
            f"{module}, which an installed package names as cards of stages ({PLUGINS}), has none: "
            f"{error}"
        ) from error
    return cards


def card_of(name: str) -> Stage:
    """The card of a stage.

    Raises:
        UserError: if no stage is called so.
    """
    if name not in stages():
        raise UserError(f"no stage is called '{name}'{suggest(name, stages())}")
    return stages()[name]


def tasks() -> tuple[str, ...]:
    """The stages that test an encoder, in order."""
    return tuple(name for name, card in stages().items() if card.makes != "encoder")


def makers() -> tuple[str, ...]:
    """The stages that make an encoder."""
    return tuple(name for name, card in stages().items() if card.makes == "encoder")


def makes_classifier() -> str:
    """The stage whose model is tested by those that take a classifier."""
    return next(name for name, card in stages().items() if card.makes == "classifier")


def stage_of(task: str) -> str:
    """The stage of a task of the report, or of a metric of it: 'finetune' of 'fine-tune/top1'.

    Raises:
        UserError: if there is no such task.
    """
    name = task.partition("/")[0]
    card = card_with(name) or stages().get(name)
    if card is None or card.name not in tasks():
        raise UserError(f"no task is called '{name}'{suggest(name, tasks())}")
    return card.name


def card_with(prefix: str) -> Stage | None:
    """The card of the stage whose metrics' names begin so; None if there is none."""
    return next((card for card in stages().values() if card.prefix == prefix), None)


def metric_info(name: str) -> MetricInfo:
    """What is known of a metric, such as 'knn/top1'; one that no card knows is no headline."""
    task, _, rest = name.partition("/")
    card = card_with(task)
    if card and (info := card.metric(name)):
        return info
    shown = f"{task}, {rest}".capitalize()
    return MetricInfo(rest, shown, "as it is", higher_is_better=None, headline=False, digits=3)


def stage_function(name: str) -> StageFunction:
    """The function behind a stage's name; imports its libraries."""
    function: StageFunction = importlib.import_module(card_of(name).module).run
    return function


def check_known(name: str, config: "Config") -> None:
    """Raise UserError for a key of a stage's config that the stage does not know.

    Names that begin with `_` are the file's own, as are those in `inside` of the card.
    """
    card = card_of(name)
    if not card.keys:
        return
    known = [*card.keys, *card.inside]
    if "method" in known:
        from mae_core.methods.registry import METHODS  # torch

        for module in METHODS.modules:  # not those of packages, one of which may be broken
            importlib.import_module(module)
        known += [str(config.get("method")), *METHODS.known()]
    sections: dict[str, dict[str, Any]] = {"": dict(config)}
    if "scratch" in known and isinstance(config.get("scratch"), dict):
        sections["scratch."] = dict(config.scratch)
    for place, section in sections.items():
        for key in section:
            if key not in known and not key.startswith("_"):
                raise UserError(unknown_key(name, place, key, known, config))


def unknown_key(name: str, place: str, key: str, known: Sequence[str], config: "Config") -> str:
    """What to tell of a key that a stage would ignore."""
    others = [card.name for card in stages().values() if key in card.keys]
    of = f", it is a key of {', '.join(others)}: leave it out" if others else suggest(key, known)
    return (
        f"{config.filename}: {name} has no key '{place}{key}'{of}. A name that only the file "
        "itself uses begins with '_'"
    )


def check_overridden(name: str, overrides: Iterable[str]) -> None:
    """Raise UserError for an override of what only the config's file reads: it would come late."""
    for override in overrides:
        key = override.partition("=")[0].partition(".")[0]
        if key in card_of(name).inside:
            raise UserError(
                f"override '{override}': {name} reads no '{key}', only its config's file does: "
                "override what it stands in"
            )


def check_stage(name: str, config: "Config", encoder: str) -> None:
    """Raise UserError for what the stage can know to be wrong before it runs.

    Whatever else the check raises becomes one too: its input is at fault, or the check.

    Args:
        name: of the stage.
        config: of the stage.
        encoder: as the stage takes it; 'random' stands in for one that is not there yet.
    """
    from mae_core.agreement import check_keys  # torch
    from mae_core.data.first import try_images
    from mae_core.data.overlap import tell_overlaps
    from mae_core.engine.sections import check_sections

    with checking(f"the check of {name} in {config.filename} for the encoder '{encoder}'"):
        check_known(name, config)
        check_keys(config)
        check_encoder(name, config, encoder)
        check_sections(config)
        try_images(config)
        tell_overlaps(config)


def check_encoder(name: str, config: "Config", encoder: str) -> None:
    """As :func:`check_stage`, for one more encoder of a stage whose config was checked."""
    from downstream.scratch import recipe_for, weights_of
    from mae_core.agreement import check_keys  # torch
    from mae_core.for_encoder import with_encoder

    card = card_of(name)
    check = importlib.import_module(card.checks or card.module).check
    with checking(f"the check of {name} in {config.filename} for the encoder '{encoder}'"):
        if card.takes in ("encoder", "start"):
            check_keys(with_encoder(recipe_for(config, encoder), weights_of(encoder)))
        check(config, encoder)

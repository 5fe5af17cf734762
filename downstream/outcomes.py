"""What became of every single case: one right or wrong an image, one accuracy an episode.

Rows of a benchmark that were tested on the same cases can be compared in pairs, which shows much
smaller differences than two intervals side by side.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mae_core.files import replacing

if TYPE_CHECKING:  # reports read outcomes without torch
    from torch import Tensor

    from mae_core.data.sources.base import Groups

FILE = "outcomes.npz"
RESAMPLED = "resampled:"  # before the name of a metric that is no mean of cases
DRAWN = "drawn:"  # before the number of a draw of episodes, and what is stored of it
DRAWN_GROUPS = "drawn_groups:"  # before that name, and how many groups were drawn from
GROUPS = "groups:"  # before the number of a set of groups
GROUPED = "grouped:"  # before that number and the name of a metric of cases in groups
EPISODES = "episodes:"  # before the number of its draw and the name of a metric over episodes


@dataclass(frozen=True)
class Grouped:
    """Outcomes of cases that come in groups, such as images of patients.

    Attributes:
        values: as without groups: (N,) bool or float, of S trainings (S, N).
        groups: (N,) int, the number of each case's group.
    """

    values: NDArray[Any]
    groups: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values."""
        return self.values.shape

    def same_groups(self, other: "Grouped") -> bool:
        """Whether both have the same cases together."""
        return np.array_equal(self.groups, other.groups)


@dataclass(frozen=True)
class Resampled:
    """A metric that is no mean of cases, such as an average precision.

    Attributes:
        values: (1 + B,) float, on all cases and on each of B resamples of them, the same for all
            encoders tested on as many cases; of S trainings (S, 1 + B).
        groups: how many groups the cases come in, if whole groups were drawn; else None.
    """

    values: NDArray[np.float64]
    groups: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values."""
        return self.values.shape


@dataclass(frozen=True)
class Episodes:
    """What became of the queries of few-shot episodes, which use the same images over and over.

    Attributes:
        correct: (E, ways, queries) bool, the queries of each class.
        images: (E, ways, shots + queries) int, the numbers of the images, the shots first.
        classes: (E, ways) int, the numbers of the classes.
        new_classes: whether the classes are a sample of others, as where they were held out.
        groups: (N,) int, the number of the group of each image that `images` may name; None where
            groups are not known.
    """

    correct: NDArray[np.bool_]
    images: NDArray[np.int64]
    classes: NDArray[np.int64]
    new_classes: bool = False
    groups: NDArray[np.int64] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the queries."""
        return self.correct.shape

    def same_draw(self, other: "Episodes") -> bool:
        """Whether both have the same images in the same episodes."""
        if (self.groups is None) != (other.groups is None):
            return False
        if self.groups is not None and not np.array_equal(self.groups, other.groups):  # type: ignore[arg-type]
            return False
        return np.array_equal(self.images, other.images) and self.new_classes == other.new_classes


@dataclass(frozen=True)
class Repeated:
    """Few-shot episodes of several trainings, each with episodes of its own, of the same images."""

    runs: tuple[Episodes, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Runs, and the queries of each."""
        return (len(self.runs), *self.runs[0].shape)

    def same_draw(self, other: "Repeated") -> bool:
        """Whether both have the same images in the same episodes, run by run."""
        pairs = zip(self.runs, other.runs, strict=False)
        return len(self.runs) == len(other.runs) and all(a.same_draw(b) for a, b in pairs)


Outcomes = NDArray[np.generic] | Grouped | Resampled | Episodes | Repeated


def in_groups(values: "Tensor", groups: "Groups | None") -> "Tensor | Grouped":
    """Outcomes of images, with the groups that these are in; as they are without any."""
    return values if groups is None else Grouped(values.cpu().numpy(), groups.of)


def save_outcomes(
    work_dir: Path, outcomes: "Mapping[str, Tensor | Grouped | Resampled | Episodes]"
) -> dict[str, str]:
    """Write the cases' outcomes beside a stage's result; the entry for its `artifacts`.

    Args:
        work_dir: of the stage.
        outcomes: by metric, such as `knn/top1`: bool or float, of shape (N,) for N cases,
            or (S, N) for S trainings tested on the same cases, where the metric is their mean; the
            same in groups; the metric resampled; or episodes.
    """
    path = work_dir / FILE
    arrays: dict[str, Any] = {}
    draws: list[Episodes] = []
    together: list[Grouped] = []
    for name, value in outcomes.items():
        if isinstance(value, Resampled):
            arrays[f"{RESAMPLED}{name}"] = value.values
            if value.groups is not None:
                arrays[f"{DRAWN_GROUPS}{name}"] = np.array(value.groups)
        elif isinstance(value, Episodes):
            arrays[f"{EPISODES}{number_of(value, draws)}:{name}"] = value.correct
        elif isinstance(value, Grouped):
            arrays[f"{GROUPED}{number_of_groups(value, together)}:{name}"] = value.values
        else:
            arrays[name] = value.cpu().numpy()
    for number, grouped in enumerate(together):
        arrays[f"{GROUPS}{number}"] = small(grouped.groups)
    for number, draw in enumerate(draws):
        arrays[f"{DRAWN}{number}:images"] = small(draw.images)
        arrays[f"{DRAWN}{number}:classes"] = small(draw.classes)
        arrays[f"{DRAWN}{number}:new_classes"] = np.array(draw.new_classes)
        if draw.groups is not None:
            arrays[f"{DRAWN}{number}:groups"] = small(draw.groups)
    with replacing(path) as part, part.open("wb") as content:
        np.savez_compressed(content, **arrays)
    return {"outcomes": str(path)}


def number_of(episodes: Episodes, draws: list[Episodes]) -> int:
    """The place of the draw in `draws`, where it is added if no metric had it: heads share one."""
    for number, known in enumerate(draws):
        if known.same_draw(episodes):
            return number
    draws.append(episodes)
    return len(draws) - 1


def number_of_groups(grouped: Grouped, together: list[Grouped]) -> int:
    """The place in `together` of outcomes with the same groups, where new ones are added."""
    for number, known in enumerate(together):
        if known.same_groups(grouped):
            return number
    together.append(grouped)
    return len(together) - 1


def small(numbers: NDArray[np.int64]) -> NDArray[np.generic]:
    """Numbers from 0 on, in the smallest type that holds them."""
    return numbers.astype(np.min_scalar_type(int(numbers.max())))


def load_outcomes(path: Path | BytesIO) -> dict[str, Outcomes]:
    """What :func:`save_outcomes` wrote."""
    found: dict[str, Outcomes] = {}
    with np.load(path, allow_pickle=False) as stored:
        for name in stored.files:
            if name.startswith(RESAMPLED):
                metric = name.removeprefix(RESAMPLED)
                place = f"{DRAWN_GROUPS}{metric}"
                groups = int(stored[place]) if place in stored.files else None
                found[metric] = Resampled(stored[name], groups)
            elif name.startswith(EPISODES):
                number, _, metric = name.removeprefix(EPISODES).partition(":")
                place = f"{DRAWN}{number}:groups"
                found[metric] = Episodes(
                    stored[name],
                    stored[f"{DRAWN}{number}:images"].astype(np.int64),
                    stored[f"{DRAWN}{number}:classes"].astype(np.int64),
                    bool(stored[f"{DRAWN}{number}:new_classes"]),
                    stored[place].astype(np.int64) if place in stored.files else None,
                )
            elif name.startswith(GROUPED):
                number, _, metric = name.removeprefix(GROUPED).partition(":")
                of = stored[f"{GROUPS}{number}"].astype(np.int64)
                found[metric] = Grouped(stored[name], of)
            elif not name.startswith((DRAWN, DRAWN_GROUPS, GROUPS)):
                found[name] = stored[name]
    return found

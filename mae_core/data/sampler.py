"""Which image comes next, and the seed of what is drawn for it: its crop, flip and mask."""

from collections.abc import Iterator, Sized
from dataclasses import dataclass

import numpy as np
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler


@dataclass(frozen=True, slots=True)
class Draw:
    """One visit of an image.

    Attributes:
        index: of the image, 0 to below the data set's length.
        seed: of everything that is drawn for this visit, 0 to below 2**63.
    """

    index: int
    seed: int


@DATA_SAMPLERS.register_module()
class DrawSampler(Sampler[Draw]):
    """The draws of an epoch, the same however many processes share them.

    Process r of w gets the positions r, r + w, r + 2w, ..., so that its batch b and those of the
    others make up the batch b of one process with a w times larger batch. Where neighbours stay
    together they are dealt out so.

    Args:
        dataset: what to draw from.
        seed: of the order and of the draws' seeds; they also depend on the epoch.
        shuffle: visit the images in random order, else as they are.
        multiple: images that an epoch is cut to a multiple of, at least `together` a process.
        together: neighbours that one process gets.
    """

    def __init__(
        self,
        dataset: Sized,
        seed: int | None = 0,
        shuffle: bool = True,
        multiple: int = 1,
        together: int = 1,
    ) -> None:
        self.rank, self.world = get_dist_info()
        self.images = len(dataset)
        self.together = together if self.world > 1 else 1
        multiple = max(multiple, self.world * self.together)
        self.total = self.images // multiple * multiple
        self.seed, self.shuffle = seed or 0, shuffle
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return self.total // self.world

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration goes through."""
        self.epoch = epoch

    def skip(self, count: int) -> None:
        """Leave out the next `count` draws of this process, which a resumed run has behind it."""
        self.epoch += count // len(self)
        self.start = count % len(self)

    def __iter__(self) -> Iterator[Draw]:
        """This process's draws."""
        start, self.start = self.start, 0
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(self.images) if self.shuffle else np.arange(self.images)
        seeds = rng.integers(2**63, size=self.images)
        dealt = np.arange(self.total).reshape(-1, self.world, self.together)
        for position in dealt[:, self.rank].flatten()[start:]:
            yield Draw(int(order[position]), int(seeds[position]))

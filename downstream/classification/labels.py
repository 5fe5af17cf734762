"""Whether the labels of two sets make one task."""

from collections.abc import Sequence

import numpy as np

from mae_core.data.images import ImageDataset
from mae_core.data.sources import NO_LABEL
from mae_core.data.sources.base import same_names
from mae_core.errors import UserError
from mae_core.notices import say


def check_labels(train: ImageDataset, val: ImageDataset) -> None:
    """Raise UserError unless all images have labels, and both sets have all the same classes."""
    for dataset in (train, val):
        tell_same_names(dataset.classes)
        unlabelled = np.flatnonzero(dataset.labels == NO_LABEL)
        if len(unlabelled):
            name = dataset.source.name(int(unlabelled[0]))
            raise UserError(
                f"{name} has no label, like {len(unlabelled)} of {len(dataset)} images: "
                "this stage needs images in class folders, or with labels"
            )
    if train.classes != val.classes:
        odd = sorted(set(train.classes) ^ set(val.classes))
        raise UserError(f"train and val have different classes: {', '.join(odd)} only in one")
    for name, dataset in (("train", train), ("val", val)):
        missing = sorted(set(range(len(train.classes))) - set(np.unique(dataset.labels).tolist()))
        if missing:
            names = ", ".join(dataset.classes[label] for label in missing[:5])
            count = f"{len(missing)} of its {len(train.classes)} classes"
            raise UserError(f"{name} has no image of {count}: {names}")


def tell_same_names(classes: Sequence[str]) -> None:
    """Say that classes are named by their paths, if folders of images have the same name."""
    same = same_names(classes)
    if same:
        say(
            f"folders in different places have the same name ({', '.join(same[:4])}): each is a "
            "class of its own, named by its path"
        )

"""Whether the labels of two sets make one task."""

from collections.abc import Sequence

import numpy as np

from downstream.classification.answers import NUMBER, names_of
from mae_core.data.images import ImageDataset
from mae_core.data.sources import NO_LABEL
from mae_core.data.sources.base import same_names
from mae_core.data.sources.targets import SAID
from mae_core.errors import UserError
from mae_core.notices import say


def check_answers(train: ImageDataset, val: ImageDataset) -> None:
    """Raise UserError unless both sets are labelled alike: with classes, labels, or a number.

    Of classes see :func:`check_labels`.
    """
    if kind_in_words(train) != kind_in_words(val):
        raise UserError(
            f"train images have {kind_in_words(train)}, and val images {kind_in_words(val)}: "
            "columns=dict(...) says what is in a table"
        )
    if train.targets is None or val.targets is None:
        check_labels(train, val)
        return
    if names_of(train) != names_of(val):
        odd = sorted(set(names_of(train)) ^ set(names_of(val)))
        raise UserError(
            f"train and val have different labels: {', '.join(odd) or 'in another order'}"
        )
    if train.targets.unit != val.targets.unit:
        raise UserError(
            f"train's numbers are in '{train.targets.unit}', val's in '{val.targets.unit}'"
        )
    for name, targets in (("train", train.targets), ("val", val.targets)):
        if (targets.values == targets.values[0]).all():
            what = "number" if targets.kind == NUMBER else "labels"
            raise UserError(f"all {name} images have the same {what}: there is nothing to learn")


def kind_in_words(dataset: ImageDataset) -> str:
    """What an image is labelled with."""
    return "one class each" if dataset.targets is None else SAID[dataset.targets.kind]


def check_labels(train: ImageDataset, val: ImageDataset) -> None:
    """Raise UserError unless all images have a class, and both sets have all the same ones."""
    for dataset in (train, val):
        if dataset.targets is not None:
            raise UserError(
                f"{dataset.source.name(0)} has {kind_in_words(dataset)}, like all of its set: this "
                "stage needs images with one class each (columns=dict(label='...'))"
            )
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

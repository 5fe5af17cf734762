"""How sure a mean over few-shot episodes is, whose images are used over and over.

Two queries vary together if they are of one episode, or if their episodes have an image in common,
as query or as support. The variance of the mean is the sum of the covariances of all such pairs, as
with clusters in several ways (Cameron, Gelbach and Miller 2011). It is what a bootstrap of images,
within their classes, beside episodes aims at. It is summed, not resampled, because no bootstrap of
crossed factors is exact (McCullagh 2000; Owen 2007): one that resamples each image of an episode
counts the chance of that episode as often as it has images, 20 to 200 times.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from downstream.clusters import grouped_variance, groups_in
from downstream.outcomes import Episodes

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """A mean, its standard error, and that one's degrees of freedom."""

    value: float
    error: float
    freedom: int


def layout_of(values: Values, drawn: Episodes) -> Layout:
    """The mean of the queries of episodes, for other episodes of other images.

    Where the classes are a sample, too, they are the clusters, which hold their images. Where the
    images come in groups, those of the queries are clusters as well, and so are those of the shots.

    Args:
        values: (E, ways, queries), each -1 to 1: right or wrong, or the difference of two encoders.
        drawn: the episodes.
    """
    count, ways, _ = values.shape
    rest = values - values.mean()
    of_class, of_episode = rest.mean(axis=2), rest.mean(axis=(1, 2))
    variance = float((of_episode**2).sum()) / (count * (count - 1))
    variance += max(of_images(rest, drawn), 0.0)
    freedom = count - 1
    if drawn.new_classes:
        totals = np.bincount(drawn.classes.ravel(), of_class.ravel() / (count * ways))
        classes = len(np.unique(drawn.classes))
        variance = max(variance, float((totals**2).sum()) * classes / (classes - 1))
        freedom = min(freedom, classes - 1)
    if drawn.groups is not None:
        of_query = drawn.groups[drawn.images[..., -values.shape[2] :]].ravel()
        variance = max(variance, grouped_variance(values.ravel(), of_query))
        variance += max(of_supports(rest, drawn, drawn.groups), 0.0)
        freedom = min(freedom, groups_in(of_query) - 1)
    return Layout(float(values.mean()), variance**0.5, freedom)


def of_images(rest: Values, drawn: Episodes) -> float:
    """Sum of the covariances of pairs of episodes that have an image in common.

    For each image, the square of the sum of its residuals, less the sum of their squares, which are
    those of an episode with itself. Residuals are those within a class, as other images are drawn
    from the same classes; what their mean takes away is given back by the size of the class.

    Args:
        rest: (E, ways, queries), less their mean.
        drawn: the episodes.
    """
    count, ways, queries = rest.shape
    classes, shots = drawn.classes.ravel(), drawn.images.shape[2] - queries
    supports, asked = drawn.images[..., :shots].ravel(), drawn.images[..., shots:].ravel()
    images = int(drawn.images.max()) + 1
    class_of = np.zeros(images, dtype=np.int64)
    class_of[drawn.images] = drawn.classes[..., None]
    size = np.maximum(np.bincount(class_of[np.unique(drawn.images)]), 1)  # images of each class

    own = (rest - class_means(rest.mean(axis=2), drawn.classes)[..., None]) / rest.size
    whole = np.repeat(rest.mean(axis=(1, 2))[:, None], ways, axis=1)
    whole = (whole - class_means(whole, drawn.classes)).ravel() / count
    as_query = np.bincount(asked, own.ravel(), images)
    as_support = np.bincount(supports, whole.repeat(shots), images)

    left = np.where(size > shots, 1 - shots / size, 1.0)
    bessel = size / np.maximum(size - 1, 1)
    both_queries = np.bincount(class_of, as_query**2) - np.bincount(
        classes, (own**2).sum(axis=2).ravel()
    )
    both_roles = 2 * np.bincount(class_of, as_query * as_support)
    # A pair of episodes has m images of a class in both supports. The product of their residuals is
    # on average (m - mean m) times an image's variance, less the episodes' variance over their
    # number: the latter is added, and var(m) / mean(m) divided out, which is hypergeometric.
    uses, episodes = np.bincount(supports, minlength=images), np.bincount(classes)
    common = np.bincount(class_of, uses * (uses - 1)) / np.maximum(episodes * (episodes - 1), 1)
    both_supports = np.bincount(class_of, as_support**2)
    both_supports += (common - shots) * np.bincount(classes, whole**2)
    found = both_queries * bessel + both_roles / left + both_supports / (left**2 * bessel)
    return float(found.sum())


def of_supports(rest: Values, drawn: Episodes, groups: NDArray[np.int64]) -> float:
    """Sum of the covariances of pairs of episodes with shots of the same group, as of images.

    Args:
        rest: (E, ways, queries), less their mean.
        drawn: the episodes.
        groups: the number of each image's group.
    """
    count, ways, queries = rest.shape
    whole = np.repeat(rest.mean(axis=(1, 2))[:, None], ways, axis=1)
    whole = (whole - class_means(whole, drawn.classes)) / count
    of_shots = groups[drawn.images[..., :-queries]]
    # Each group of a class's shots once, however many of them are of it.
    places = np.arange(count * ways).repeat(of_shots.shape[2])
    place, group = np.unique(np.stack([places, of_shots.ravel()]), axis=1)
    own = whole.ravel()[place]
    return float((np.bincount(group, own) ** 2).sum() - (own**2).sum())


def class_means(values: Values, classes: NDArray[np.int64]) -> Values:
    """For each of (E, ways) values the mean of all values of its class."""
    sums = np.bincount(classes.ravel(), values.ravel())
    return (sums / np.maximum(np.bincount(classes.ravel()), 1))[classes]

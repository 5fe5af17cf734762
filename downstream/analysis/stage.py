"""The stage: figures of an encoder beside a reference, and the ranks of its features."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import set_random_seed
from torch import Tensor
from torch.utils.data import DataLoader

from downstream.analysis.attention import draw_attention
from downstream.analysis.projection import draw_patches, draw_points, neighbourhoods, patch_colours
from downstream.analysis.rank import effective_rank, rankme
from downstream.analysis.similarity import draw_similarity, layer_similarity
from downstream.classification.labels import tell_same_names
from downstream.scratch import RANDOM
from mae_core.checkpoints import build_encoder, check_sizes
from mae_core.data.images import ImageDataset
from mae_core.data.normalize import Normalize
from mae_core.data.shared_memory import workers_for
from mae_core.data.sources import NO_LABEL
from mae_core.encoders import Encoder
from mae_core.errors import UserError
from mae_core.figures import colours, eight_bits
from mae_core.for_encoder import with_encoder
from mae_core.plots import drawn
from mae_core.stage import Metric, Reporter, StageResult

SHOWN = 5  # images in a figure, of as many classes
LEGIBLE = 10  # classes whose colours can be told apart
EACH = 100  # images of each of them in the t-SNE


class Seen(NamedTuple):
    """What an encoder makes of images.

    Attributes:
        layers: of each block, (N, width), the mean over patches; the last is normalised.
        maps: (SHOWN, width, h, w), normalised patches of the shown images, less what all images
            have at their place in the mean: else position fills the first components.
        attention: (SHOWN, heads, h, w), of the class token in the last block, if there is one.
    """

    layers: list[Tensor]
    maps: Tensor
    attention: Tensor | None


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Figures on `config.val_data`, and metrics `analyze/rankme` and `analyze/effective_rank`.

    `config.reference` is 'random', which is the encoder's architecture with another seed than that
    of the row `random`, or another encoder.
    """
    names = ("encoder", "reference" if config.reference != RANDOM else RANDOM)
    seen = []
    for number, (source, own) in enumerate(compared(config, encoder, reporter)):
        set_random_seed(config.seed + number)
        model = build_encoder(own.encoder, source).to(get_device()).eval()
        seen.append(look(model, ImageDataset(**own.val_data), own))
        reporter.progress(number + 1, 2, "encoder")
    dataset = ImageDataset(**with_encoder(config, encoder).val_data)
    features = seen[0].layers[-1]
    metrics = {
        "analyze/rankme": Metric(rankme(features)),
        "analyze/effective_rank": Metric(effective_rank(features)),
    }
    artifacts: dict[str, str] = {}
    for name, draw in pictures(dataset, names, seen, config.seed).items():
        artifacts |= drawn(work_dir / f"{name}.png", draw, reporter)
    return StageResult(metrics, artifacts=artifacts)


def compared(
    config: Config, encoder: str, reporter: Reporter | None = None
) -> list[tuple[str, Config]]:
    """Both encoders, each with the config as it counts for it."""
    own = with_encoder(config, encoder, reporter)
    beside = with_encoder(config, config.reference, reporter)
    if config.reference == RANDOM and own.encoder != config.encoder:
        beside = own
    return [(encoder, own), (config.reference, beside)]


def pictures(
    dataset: ImageDataset, names: tuple[str, str], seen: Sequence[Seen], seed: int
) -> dict[str, Callable[[Path], None]]:
    """What draws each picture, by its name.

    Args:
        dataset: the images that were seen.
        names: of the encoders.
        seen: by each encoder.
        seed: of the neighbourhoods.
    """
    pixels = torch.stack([dataset[i]["inputs"] for i in shown(dataset.labels)])
    images = [colours(image).numpy() for image in eight_bits({"seen": pixels})["seen"]]
    chosen = legible(dataset.labels)

    def patches(path: Path) -> None:
        colours = [patch_colours(each.maps.numpy()) for each in seen]
        draw_patches(path, images, dict(zip(names, colours, strict=True)))

    def points(path: Path) -> None:
        found = [neighbourhoods(each.layers[-1][chosen].numpy(), seed) for each in seen]
        named = dict(zip(names, found, strict=True))
        draw_points(path, named, dataset.labels[chosen], dataset.classes)

    def similarity(path: Path) -> None:
        draw_similarity(path, layer_similarity(seen[0].layers, seen[1].layers), names)

    drawings: dict[str, Callable[[Path], None]] = {
        "patches-pca": patches,
        "tsne": points,
        "cka": similarity,
    }
    maps = seen[0].attention
    if maps is None:
        return drawings
    return {"attention": lambda path: draw_attention(path, images, maps), **drawings}


def check(config: Config, encoder: str) -> None:
    """Raise UserError for other sizes of an encoder, and for too few or unlabelled images."""
    for source, own in compared(config, encoder):
        check_sizes(own.encoder, source)
    images = ImageDataset(**config.val_data)
    tell_same_names(images.classes)
    labels = images.labels
    if (labels == NO_LABEL).any() or len(legible(labels)) < 3:
        raise UserError(f"{config.val_data.data}: expected at least 3 images, all with labels")


def shown(labels: np.ndarray) -> list[int]:
    """The first image of each of the first classes."""
    return np.unique(labels, return_index=True)[1][:SHOWN].tolist()


def legible(labels: np.ndarray) -> np.ndarray:
    """Numbers of the first images of each of the first classes."""
    members = [np.flatnonzero(labels == label)[:EACH] for label in np.unique(labels)[:LEGIBLE]]
    return np.concatenate(members)


@torch.inference_mode()
def look(encoder: Encoder, dataset: ImageDataset, config: Config) -> Seen:
    """Run all images through the encoder."""
    device = next(encoder.parameters()).device
    normalize = Normalize(**config.pixels).to(device)
    blocks = range(len(encoder.widths))
    layers: list[list[Tensor]] = [[] for _ in blocks]
    total = torch.zeros((), device=device)
    workers = workers_for(dataset, config.batch_size, config.num_workers)
    for batch in DataLoader(dataset, config.batch_size, num_workers=workers):
        maps = encoder.feature_maps(normalize.images(batch["inputs"].to(device)), blocks)
        for rows, each in zip(layers, maps, strict=True):
            rows.append(each.mean(dim=(2, 3)).float().cpu())
        total = total + maps[-1].double().sum(dim=0)
    few = torch.stack([dataset[i]["inputs"] for i in shown(dataset.labels)])
    images = normalize.images(few.to(device))
    (patches,) = encoder.feature_maps(images, blocks[-1:])
    attention = None
    if "attention" in encoder.offers:
        attention = encoder.class_attention(images).float().cpu()
    return Seen(
        [torch.cat(rows) for rows in layers],
        (patches - total / len(dataset)).float().cpu(),
        attention,
    )

"""The report's figures, those of its stages and its own, in reading order."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from pipelines.report.collect import Benchmark
from pipelines.report.figures import few_shot_curve, label_curve, loss_curve, set_of, shots_by_ways

CAPTIONS = {
    "pretrain-reconstruction": "Reconstruction of images that pretraining never saw",
    "detect-overlay": "Detection and instance segmentation",
    "detect-box_precision_recall": "Precision against recall, boxes",
    "detect-mask_precision_recall": "Precision against recall, masks",
    "detect-box_ap_by_class": "Box AP by class",
    "detect-mask_ap_by_class": "Mask AP by class",
    "detect-confusion": "Instances by true and found class; 'none' was missed or is not there",
    "segment-overlay": "Semantic segmentation",
    "segment-iou_by_class": "IoU by class",
    "segment-confusion": "Pixels by true and found class",
    "low-shot-curve": "Accuracy against labelled images",
    "partial-finetune-curve": "Accuracy against fine-tuned blocks",
    "analyze-attention": "Where the class token of the last block looks, brighter is more; the "
    "mean of all heads, then each head",
    "analyze-patches-pca": "Patches that the encoder takes for alike have similar colours (three "
    "principal components of their features)",
    "analyze-tsne": "Val images, close together where their features are alike; the clearer the "
    "groups, the better the encoder tells classes apart (t-SNE)",
    "analyze-cka": "How alike the features of two encoders' blocks are, 0 to 1 (linear CKA)",
}
WIDE = 1000  # pixels
SECTIONS = {  # by what the file's name begins with
    "loss": "Pretraining",
    "pretrain": "Pretraining",
    "few-shot": "Few images, few labels",
    "low-shot": "Few images, few labels",
    "partial-finetune": "Few images, few labels",
    "detect": "Detection and instance segmentation",
    "segment": "Semantic segmentation",
    "analyze": "What the encoder sees",
}


@dataclass(frozen=True)
class Picture:
    """A figure of the report."""

    file: str
    caption: str
    png: bytes

    @property
    def section(self) -> str:
        """The heading that it stands under."""
        return next(title for start, title in SECTIONS.items() if self.file.startswith(start))

    @property
    def place(self) -> int:
        """Of its section among the others."""
        return list(dict.fromkeys(SECTIONS.values())).index(self.section)

    @property
    def wide(self) -> bool:
        """Whether it is too wide to share a line with another."""
        return self.size[0] > WIDE

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        with Image.open(BytesIO(self.png)) as image:
            return image.size

    @property
    def base64(self) -> str:
        """For a data URI."""
        return base64.b64encode(self.png).decode()


def pictures(benchmark: Benchmark) -> list[Picture]:
    """The figures in reading order."""
    found, names = [], file_names(benchmark.encoders)
    if benchmark.losses:
        found.append(Picture("loss.png", "Pretraining loss", loss_curve(benchmark)))
    for kind, caption in CAPTIONS.items():
        for encoder in benchmark.encoders:
            png = benchmark.pictures.get((kind, encoder))
            if png is not None:
                file = f"{kind}-{names[encoder]}.png"
                found.append(Picture(file, f"{caption}: {encoder}", png))
    if shots_by_ways(benchmark):
        figure = Picture(
            "few-shot.png", "Few-shot accuracy against shots", few_shot_curve(benchmark)
        )
        found.append(figure)
    if len({set_of(f"{r.task}/{r.metric}") for r in benchmark.rows if r.task == "low-shot"}) > 1:
        found.append(Picture("low-shot.png", "Accuracy against labels", label_curve(benchmark)))
    return sorted(found, key=lambda picture: picture.place)


def file_names(encoders: Sequence[str]) -> dict[str, str]:
    """A part of a file's name for each encoder, numbered where two would be the same.

    It holds what MLflow takes in names and tags, whatever the encoder's file is called: PyTorch
    Lightning's are like 'epoch=9-step=1000.ckpt'.
    """
    stems = [plain_name(Path(encoder).stem) for encoder in encoders]
    lower = [stem.lower() for stem in stems]  # some disks do not tell 'A' from 'a'
    names: dict[str, str] = {}
    for encoder, stem in zip(encoders, stems, strict=True):
        name, number = stem, len(names) + 1
        while lower.count(name.lower()) > (name == stem) or name in names.values():
            name, number = f"{stem}-{number}", number + len(encoders)
        names[encoder] = name
    return names


def plain_name(text: str) -> str:
    """Letters, digits, '.', '-' and '_' of a text, at most 80; '_' for what else is between."""
    return re.sub(r"[^0-9A-Za-z.-]+", "_", text)[:80].strip("_.") or "encoder"

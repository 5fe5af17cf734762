"""The report's figures, those of its stages and its own, in reading order."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from mae_core.card import Stage
from pipelines.report.collect import Benchmark
from pipelines.report.figures import (
    few_shot_curve,
    label_curve,
    label_sets,
    loss_curve,
    shots_by_ways,
)
from pipelines.stages import stages

WIDE = 1000  # pixels


@dataclass(frozen=True)
class Picture:
    """A figure of the report, under the heading `section`."""

    file: str
    caption: str
    png: bytes
    section: str

    @property
    def place(self) -> int:
        """Of its section among the others."""
        return list(dict.fromkeys(card.section for card in stages().values())).index(self.section)

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
    """The figures in reading order: by the sections of the stages' cards."""
    names, found = file_names(benchmark.encoders), []
    for stage in stages().values():
        found += own_pictures(benchmark, stage)
        for picture, caption in stage.captions.items():
            kind = f"{stage.name}-{picture}"
            for encoder in benchmark.encoders:
                png = benchmark.pictures.get((kind, encoder))
                if png is not None:
                    file = f"{kind}-{names[encoder]}.png"
                    found.append(Picture(file, f"{caption}: {encoder}", png, stage.section))
    return sorted(found, key=lambda picture: picture.place)


def own_pictures(benchmark: Benchmark, stage: Stage) -> list[Picture]:
    """The curves over several rows that the report draws for a stage."""
    file, caption, png = f"{stage.name}.png", "", b""
    if stage.name == "pretrain" and benchmark.losses:
        file, caption, png = "loss.png", "Pretraining loss", loss_curve(benchmark)
    if stage.name == "few-shot" and shots_by_ways(benchmark):
        caption, png = "Few-shot accuracy against shots", few_shot_curve(benchmark)
    if stage.name == "low-shot" and len(label_sets(benchmark)) > 1:
        caption, png = "Accuracy against labels", label_curve(benchmark)
    return [Picture(file, caption, png, stage.section)] if png else []


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

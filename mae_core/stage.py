"""The contract of a stage: config + encoder + work_dir -> StageResult."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from mae_core.files import checksum, write_json

THREADS = 1  # that each of a stage's processes computes with, unless its config has `threads`
# Other keys that a stage's config need not have, and what they are without it.
LEFT_OUT: dict[str, dict[str, Any]] = {
    "pretrain": {
        "start": None,  # or an encoder to go on from, see mae_core.continued
        "continued": {"warmup_updates": 0, "encoder_lr_mult": 1.0},
        "input_sizes": None,  # or smaller images first, see mae_core.input_sizes
    },
    "supervise": {"metrics": []},  # beside top-1, see downstream.classification.metrics
    "finetune": {"metrics": []},
    "linear-probe": {"metrics": [], "decides": "top1"},  # what chooses settings and layers
    "knn": {"metrics": [], "decides": "top1"},
}


@dataclass(frozen=True)
class Metric:
    """A result.

    Attributes:
        value: in 0 to 1, or as the card's :class:`mae_core.card.MetricInfo` says.
        ci95: half width of the 95 % confidence interval; None where it has no meaning.
        unit: of both where the card says that it is the data's, such as 'px'; '' if not known.
    """

    value: float
    ci95: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class StageResult:
    """What a finished stage hands back.

    Attributes:
        metrics: by name, such as `linear-probe/top1`.
        checkpoint: weights worth keeping, an absolute path.
        artifacts: files by name: figures, logs, configs.
        labels: how many labelled images it was trained with; None if the metrics' names say it.
        checksums: SHA-256 and bytes of each file, by its path, from when the stage ended.
        inputs: digests of what the stage read, see :func:`pipelines.identity.inputs`.
    """

    metrics: dict[str, Metric] = field(default_factory=dict)
    checkpoint: str | None = None
    artifacts: dict[str, str] = field(default_factory=dict)
    labels: int | None = None
    checksums: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write as JSON, atomically; files below the JSON's folder by their place in it."""
        kept = self.moved(lambda name: _inside(name, path.parent))
        write_json(path, asdict(kept), indent=2)

    @classmethod
    def load(cls, path: Path) -> "StageResult":
        """Read what :meth:`save` wrote, wherever its folder lies now."""
        content = json.loads(path.read_text())
        metrics = {name: Metric(**value) for name, value in content.pop("metrics").items()}
        return cls(metrics=metrics, **content).moved(lambda name: str(path.parent / name))

    def moved(self, place: Callable[[str], str]) -> "StageResult":
        """The same with `place(name)` for the name of each file."""
        checkpoint = self.checkpoint and place(self.checkpoint)
        return replace(
            self,
            checkpoint=checkpoint,
            artifacts={key: place(name) for key, name in self.artifacts.items()},
            checksums={place(name): value for name, value in self.checksums.items()},
        )

    def sealed(self, inputs: Mapping[str, str]) -> "StageResult":
        """The same with the checksums of its files as they are now, and with `inputs`."""
        checksums = {name: checksum(name) for name in self.files()}
        return replace(self, checksums=checksums, inputs=dict(inputs))

    def files_exist(self) -> bool:
        """Whether everything that the result names is still on disk, in the size that it had."""
        return all(Path(name).is_file() and self._same_size(name) for name in self.files())

    def damaged(self) -> list[str]:
        """The files that are gone, or not what they were; those without a checksum are believed."""
        return [
            name
            for name in self.files()
            if not (Path(name).is_file() and self._same_size(name) and self._same(name))
        ]

    def files(self) -> list[str]:
        """Everything that the result names, each once."""
        names = [*self.artifacts.values(), *([self.checkpoint] if self.checkpoint else [])]
        return list(dict.fromkeys(names))

    def _same_size(self, name: str) -> bool:
        known = self.checksums.get(name, "").rpartition(" ")[2]
        return not known or known == str(Path(name).stat().st_size)

    def _same(self, name: str) -> bool:
        known = self.checksums.get(name)
        return known is None or known == checksum(name)


def _inside(name: str, folder: Path) -> str:
    return str(Path(name).relative_to(folder)) if Path(name).is_relative_to(folder) else name


class Reporter(Protocol):
    """Where a stage tells how far it is and what it measured."""

    def progress(self, done: int, total: int, unit: str, **shown: float) -> None:
        """`done` of `total` units; `shown` are numbers worth seeing beside the bar."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Metrics at a step of training."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


class SilentReporter:
    """A reporter for use as a library: says nothing."""

    def progress(self, done: int, total: int, unit: str, **shown: float) -> None:
        """Say nothing."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

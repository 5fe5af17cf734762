"""One cell of the matrix: a stage for one encoder."""

import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from mmengine.config import Config

from mae_core.names import TIMM
from mae_core.stage import THREADS
from pipelines.cells.folder import STAGES
from pipelines.cells.resources import Resources
from pipelines.identity import fingerprint_of, inputs
from pipelines.stages import card_of

UNSAFE = re.compile(r"[^\w.+=,() -]+")  # what a shell, MLflow or another system takes for more
LONGEST = 100  # characters of a row's name in a folder's; the fingerprint tells rows apart


@dataclass(frozen=True)
class Cell:
    """What to do.

    Attributes:
        stage: a name of :func:`pipelines.stages.stages`.
        encoder: the row's name.
        source: a name without a file, such as 'random', or the path of the encoder's file.
        config: the stage's config.
        repeat: 0, or the number of a further run with another seed.
        encoder_run: id of the MLflow run that made the encoder, '' if none did.
        spec: what others call the encoder, such as 'timm:...', '' if that is the row's name.
    """

    stage: str
    encoder: str
    source: str
    config: Config
    repeat: int = 0
    encoder_run: str = ""
    spec: str = ""

    @property
    def name(self) -> str:
        """As :func:`cell_name`."""
        return cell_name(self.stage, self.encoder, self.repeat)

    @cached_property
    def key(self) -> str:
        """See :func:`pipelines.identity.fingerprint`."""
        return fingerprint_of(self.config, self.inputs)

    @cached_property
    def inputs(self) -> dict[str, str]:
        """See :func:`pipelines.identity.inputs`, which reads the encoder and the data."""
        return inputs(self.config, self.source)


def cell_name(stage: str, encoder: str, repeat: int = 0) -> str:
    """Such as 'detect[mae]', and 'detect[mae]#1' for a further run."""
    return f"{stage}[{encoder}]" + (f"#{repeat}" if repeat else "")


def on_machine(cell: Cell, machine: Resources) -> Cell:
    """The cell with the number of devices that share it in its config, as `devices`."""
    used = usable(cell, machine)
    devices = used.devices * used.nodes
    if devices == cell.config.get("devices", 1):
        return cell
    config = cell.config.copy()
    config.devices = devices
    return replace(cell, config=config)


def cell_folder(cell: Cell, work_dir: Path) -> Path:
    """Where a cell keeps everything."""
    return work_dir / STAGES / f"{cell.stage}-{folder_name(cell.encoder)}-{cell.key}"


def folder_name(row: str) -> str:
    """A row's name as a part of a folder's: of a path its stem, of 'timm:<model>@<file>' both."""
    model, at, file = row.removeprefix(TIMM).partition("@")
    if row.startswith(TIMM):
        name = f"timm-{model}" + (f"-{Path(file).stem}" if at else "")
    else:
        name = Path(row).stem
    return UNSAFE.sub("-", name)[:LONGEST]


def usable(cell: Cell, resources: Resources) -> Resources:
    """What of a machine the cell uses: the threads of its config, whatever the machine has, and
    one device, unless its stage can share several.
    """
    devices = resources.devices if card_of(cell.stage).several_devices else 1
    return replace(resources, threads=cell.config.get("threads", THREADS), devices=devices)

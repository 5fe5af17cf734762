"""Where a number comes from: code, packages, machine, data."""

import json
import os
import platform
import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import psutil
import torch
from mlflow.entities import Dataset, DatasetInput, InputTag
from mmengine.config import Config

from mae_core.source_code import SOURCE, all_modules
from pipelines.identity import WITH, code_of, code_version, data_digests

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scikit-learn",
    "onedl-mmengine",
    "onedl-mmcv",
    "onedl-mmdetection",
    "onedl-mmsegmentation",
    "prefect",
    "mlflow",
)
OURS = ("mae_core", "downstream", "pipelines", "configs")  # whose changes count
DIGEST = 36  # characters, MLflow's limit


def code(config: Config) -> dict[str, str]:
    """Hashes of all code that computes results, and of what a stage has of it; the commit.

    That is there if this is a checkout.
    """
    commit = git("rev-parse", "HEAD").strip()
    hashes = {"hash": code_version(tuple(all_modules())), "stage": code_of(config)}
    return {**hashes, **({"commit": commit} if commit else {})}


@lru_cache
def uncommitted() -> str:
    """The changes to our code since the commit, as a patch; '' without any or a checkout."""
    return git("diff", "HEAD", "--", *OURS)


def versions() -> dict[str, str]:
    """Python's version and those of the packages that decide results, by name."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


@lru_cache
def hardware() -> dict[str, str | int | list[str]]:
    """The machine: processor, its cores, memory in GiB, GPUs by name."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "cpu": processor(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "gpus": gpus,
    }


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def datasets(config: Config) -> list[DatasetInput]:
    """The data of a stage for MLflow, each with the digest of its content."""
    return [
        DatasetInput(
            Dataset(
                Path(data.partition(WITH)[0]).name,
                digest[:DIGEST],
                "local",
                json.dumps({"uri": data}),
            ),
            [InputTag("mlflow.data.context", context(data))],
        )
        for data, digest in data_digests(config).items()
    ]


def context(data: str) -> str:
    """'train' or 'val', by the last part of the path; 'data' for others."""
    name = Path(data.partition(WITH)[0]).name
    return next((kind for kind in ("train", "val") if name.startswith(kind)), "data")


def git(*command: str) -> str:
    """What git says of our checkout; '' without one.

    An installation may lie in the checkout of something else.
    """
    if not (SOURCE / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(SOURCE), *command], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""

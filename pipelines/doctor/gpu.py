"""NVIDIA's GPUs as the system shows them, whether or not torch can use them."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pipelines.doctor.finding import Finding, ok, warning, wrong

# The oldest driver for each CUDA, its first number: NVIDIA's CUDA compatibility, minor versions.
OLDEST_DRIVER = {"11": 450, "12": 525, "13": 580}
NVIDIA, DISPLAY = "0x10de", "0x03"  # in the files of a PCI device
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Hardware:
    """What the system shows.

    Attributes:
        driver: version of the loaded driver, '' if there is none.
        devices: whether there are files through which a process reaches a GPU.
        allowed: whether this user may use them.
        on_bus: whether a GPU is built in.
    """

    driver: str
    devices: bool
    allowed: bool
    on_bus: bool


def hardware(root: Path = Path("/")) -> Hardware:
    """What the system with its files below `root` shows."""
    devices = [*root.glob("dev/nvidia[0-9]*"), *root.glob("dev/nvidiactl")]
    return Hardware(
        driver_version(root / "proc/driver/nvidia/version"),
        devices=len(devices) > 1,
        allowed=all(os.access(path, os.R_OK | os.W_OK) for path in devices),
        on_bus=any(map(is_gpu, root.glob("sys/bus/pci/devices/*"))),
    )


def driver_version(path: Path) -> str:
    """Such as '570.86.15', from the file of the kernel's module; '' without it."""
    try:
        found = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)", path.read_text())
    except OSError:
        return ""
    return found[1] if found else "of an unknown version"


def is_gpu(device: Path) -> bool:
    """Whether a PCI device is a GPU of NVIDIA."""
    try:
        vendor, kind = ((device / name).read_text() for name in ("vendor", "class"))
    except OSError:
        return False
    return vendor.strip() == NVIDIA and kind.startswith(DISPLAY)


def why_none(there: Hardware, cuda: str | None, error: str) -> Finding:
    """Why torch sees no GPU.

    Args:
        there: what the system shows.
        cuda: the version that torch is built for, such as '12.8'; None for CPUs.
        error: what torch says.
    """
    name = "GPU"
    if not (there.driver or there.devices):
        if there.on_bus:
            return warning(
                name,
                "a GPU is built in, but no driver shows it here",
                "install NVIDIA's driver; in a container, start it with the GPUs (`--gpus all`)",
            )
        return ok(name, "none, everything runs on the CPU")
    if os.environ.get(VISIBLE, "0").strip() in ("", "-1"):
        return warning(name, f"hidden by {VISIBLE}={os.environ[VISIBLE]}", f"unset {VISIBLE}")
    driver = f"driver {there.driver}" if there.driver else "its driver"
    cannot = f"a GPU is there ({driver}), but torch cannot use it, because"
    if not cuda:
        todo = "install torch's build for CUDA"
        return wrong(name, f"{cannot} this torch is built for CPUs", todo)
    oldest = OLDEST_DRIVER.get(cuda.partition(".")[0], 0)
    major = there.driver.partition(".")[0]
    if major.isdigit() and int(major) < oldest:
        return wrong(
            name,
            f"{cannot} {driver} is too old for its CUDA {cuda}",
            f"install driver {oldest} or newer, or torch's build for an older CUDA",
        )
    if not there.devices:
        return wrong(
            name,
            f"{cannot} there are no files /dev/nvidia*",
            "start the container with the GPUs (`--gpus all`), or run `nvidia-smi` once as root",
        )
    if not there.allowed:
        return wrong(
            name,
            f"{cannot} this user may not use /dev/nvidia*",
            "let an administrator add you to the files' group",
        )
    return wrong(name, f"{cannot} {error}", "see what `nvidia-smi` says; after an update, reboot")

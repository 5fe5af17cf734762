from pathlib import Path

import pytest

from pipelines.doctor.gpu import Hardware, hardware, why_none
from tests.pipelines.clean.conftest import put

NOTHING = Hardware(driver="", devices=False, allowed=True, on_bus=False)
CLOSED = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.57.02  Tue Jul 13 16:14:05 UTC 2021\n"
    "GCC version:  gcc version 11.4.0\n"
)
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n"


def gpu(driver: str = "470.57.02", devices: bool = True, allowed: bool = True) -> Hardware:
    return Hardware(driver, devices, allowed, on_bus=True)


@pytest.mark.parametrize(("text", "version"), [(CLOSED, "470.57.02"), (OPEN, "570.86.15")])
def test_the_system_shows_driver_and_devices(tmp_path: Path, text: str, version: str) -> None:
    assert hardware(tmp_path) == NOTHING
    put(tmp_path / "proc/driver/nvidia/version").write_text(text)
    for name in ("nvidia0", "nvidiactl"):
        put(tmp_path / "dev" / name)
    assert hardware(tmp_path) == Hardware(version, devices=True, allowed=True, on_bus=False)


@pytest.mark.parametrize(
    ("vendor", "kind", "found"),
    [("0x10de", "0x030200", True), ("0x10de", "0x020000", False), ("0x1002", "0x030000", False)],
)
def test_a_gpu_of_nvidia_is_known_by_its_place_on_the_bus(
    tmp_path: Path, vendor: str, kind: str, found: bool
) -> None:
    device = tmp_path / "sys/bus/pci/devices/0000:00:05.0"
    put(device / "vendor").write_text(f"{vendor}\n")
    assert not hardware(tmp_path).on_bus
    put(device / "class").write_text(f"{kind}\n")
    assert hardware(tmp_path).on_bus == found


@pytest.mark.parametrize(
    ("there", "cuda", "mark", "said"),
    [
        (NOTHING, None, "ok", "none, everything runs on the CPU"),
        (NOTHING, "12.8", "ok", "none, everything runs on the CPU"),
        (Hardware("", False, True, on_bus=True), "12.8", "warning", "no driver shows it here"),
        (gpu(), None, "wrong", "(driver 470.57.02), but torch cannot use it, because this torch"),
        (gpu(), "12.8", "wrong", "because driver 470.57.02 is too old for its CUDA 12.8"),
        (
            gpu("535.54.03"),
            "13.0",
            "wrong",
            "because driver 535.54.03 is too old for its CUDA 13.0",
        ),
        (gpu("535.54.03", devices=False), "12.8", "wrong", "there are no files /dev/nvidia*"),
        (gpu("535.54.03", allowed=False), "12.8", "wrong", "this user may not use /dev/nvidia*"),
        (gpu("535.54.03"), "12.8", "wrong", "because the driver says no"),
        (gpu(""), "12.8", "wrong", "a GPU is there (its driver), but torch cannot use it, because"),
    ],
)
def test_why_torch_sees_no_gpu(there: Hardware, cuda: str | None, mark: str, said: str) -> None:
    found = why_none(there, cuda, "the driver says no")
    assert (found.mark, bool(found.todo)) == (mark, mark != "ok")
    assert said in found.found


def test_a_driver_that_is_too_old_says_which_is_needed() -> None:
    assert why_none(gpu(), "13.0", "").todo.startswith("install driver 580 or newer")


@pytest.mark.parametrize("value", ["", "-1"])
def test_gpus_may_be_hidden_on_purpose(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    found = why_none(gpu(), "12.8", "no CUDA-capable device is detected")
    assert (found.mark, found.found) == ("warning", f"hidden by CUDA_VISIBLE_DEVICES={value}")

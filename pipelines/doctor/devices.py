"""torch, GPUs and operators, looked at in a process of their own, which may crash or hang.

`python -m pipelines.doctor.devices` prints a JSON object a line: `{"begins": <part>}`, or a
finding.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict

from pipelines.doctor.finding import Finding, Findings, first_line, ok, warning, wrong
from pipelines.doctor.gpu import hardware, why_none
from pipelines.doctor.packages import SETUP

SECONDS = 120.0  # for all of it; a first import from a slow disk takes long
BUSY = 0.9  # share of a GPU's memory


def check_devices(seconds: float = SECONDS) -> Findings:
    """What the process of its own finds, also when it does not come to its end."""
    command = [sys.executable, "-m", "pipelines.doctor.devices"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
        )
        output, said, end = done.stdout, done.stderr, ended(done.returncode)
    except subprocess.TimeoutExpired as error:
        output, said = error.stdout or b"", error.stderr or b""
        end = f"gave no answer within {seconds:.0f} s"
    part = "torch"
    for line in output.decode(errors="replace").splitlines():
        if line.startswith('{"begins":'):
            part = json.loads(line)["begins"]
        elif line.startswith('{"mark":'):
            yield Finding(**json.loads(line))
    if end:
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        yield wrong(part, ": ".join([f"looking at it {end}", *last]), SETUP)


def ended(code: int) -> str:
    """How a process ended; '' if as it should."""
    if code < 0:
        return f"crashed ({signal.Signals(-code).name})"
    return f"ended with code {code}" if code else ""


def check_torch() -> Findings:
    """That torch computes."""
    import torch

    ones = torch.ones(8, 8)
    assert (ones @ ones).sum() == 512
    built = torch.version.cuda or torch.version.hip
    yield ok("torch", f"{torch.__version__}, built for {f'CUDA {built}' if built else 'CPUs'}")


def check_gpus() -> Findings:
    """Each GPU, or why there is none."""
    import torch

    there = hardware()
    if not torch.cuda.is_available():
        yield why_none(there, torch.version.cuda, why_unavailable())
        return
    driver = f", driver {there.driver}" if there.driver else ""
    for number in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(number)
        free, total = torch.cuda.mem_get_info(number)
        found = f"{number}: {name}{driver}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free"
        if free < (1 - BUSY) * total:
            yield warning("GPU", found, "see with `nvidia-smi` who has its memory")
        else:
            yield ok("GPU", found)
    if not shutil.which(os.environ.get("CC", "cc")):
        yield warning(
            "compiler",
            "there is no C compiler, which torch.compile needs to pretrain on a GPU",
            "install gcc, or pretrain with `-o compile=False`",
        )


def why_unavailable() -> str:
    """What torch says when it is asked for a GPU."""
    import torch

    try:
        torch.cuda.init()
    except Exception as error:  # of many kinds
        return first_line(error).rstrip(".")
    return "it gives no reason"


def check_operators() -> Findings:
    """NMS and RoIAlign, forward and backward, on the CPU and on each GPU."""
    import torch

    for number in range(-1, torch.cuda.device_count()):
        device, where = ("cpu", "CPU") if number < 0 else (f"cuda:{number}", f"GPU {number}")
        try:
            origin = run_operators(device)
        except Exception as error:  # an import or a kernel: anything
            todo = f"{SETUP}; without them detection does not run, all else does"
            yield wrong("operators", f"on the {where}: {first_line(error)}", todo)
        else:
            yield ok("operators", f"NMS and RoIAlign run on the {where}, {origin}")


def run_operators(device: str) -> str:
    """Run both on what has known results; whose they are.

    Raises:
        RuntimeError: if a result is wrong.
    """
    import torch

    import downstream  # noqa: F401  gives mmcv operators if it has none

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mmcv.ops import nms, roi_align
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]], device=device)
    _, kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7], device=device), 0.5)
    if kept.tolist() != [0, 2]:
        raise RuntimeError(f"NMS keeps the boxes {kept.tolist()} instead of [0, 2]")
    ramp = torch.arange(8.0, device=device).expand(1, 1, 8, 8).clone().requires_grad_()
    box = torch.tensor([[0.0, 1, 1, 5, 5]], device=device)
    found = roi_align(ramp, box, (1, 2), 1.0, 2, "avg", True)
    (gradients,) = torch.autograd.grad(found.sum(), ramp)
    values, gradient = found.flatten().tolist(), float(gradients.sum())
    if (values, round(gradient, 4)) != ([1.5, 3.5], 2.0):
        raise RuntimeError(
            f"RoIAlign gives {values} and gradients of {gradient:g} instead of [1.5, 3.5] and 2"
        )
    compiled = getattr(sys.modules["mmcv._ext"], "__file__", None)
    return "mmcv's own" if compiled else "torchvision's"


PARTS: dict[str, Callable[[], Findings]] = {
    "torch": check_torch,
    "GPU": check_gpus,
    "operators": check_operators,
}


def main() -> None:
    """Print what each part finds; without torch there is nothing to find for the others."""
    for name, check in PARTS.items():
        print(json.dumps({"begins": name}), flush=True)
        try:
            for finding in check():
                print(json.dumps(asdict(finding)), flush=True)
        except Exception as error:  # of any library
            print(json.dumps(asdict(wrong(name, first_line(error), SETUP))), flush=True)
            if name == "torch":
                return


if __name__ == "__main__":
    main()

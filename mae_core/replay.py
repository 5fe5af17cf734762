"""Where the numbers end in an update that was not finite, see :mod:`mae_core.engine.capture`."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from mae_core.data.normalize import Normalize
from mae_core.errors import UserError
from mae_core.pretrain import Pretrainer, build_method
from mae_core.reading import read_content

KEYS = ("step", "config", "weights", "input_size", "batches")
NAMED = 3  # weights that a line names


def replay(path: Path) -> list[str]:
    """Compute a stored update of a pretraining once more, on the CPU, and tell what it finds.

    Raises:
        UserError: if the file cannot be read, or is none of these.
    """
    content = read_content(path)
    if not isinstance(content, dict) or not content.keys() >= {*KEYS}:
        raise UserError(
            f"{path} is no update that was kept: expected the not_finite.pth that a pretraining "
            "leaves in its folder when gradients are not finite"
        )
    try:
        config = Config(json.loads(content["config"]))
        model = Pretrainer(build_method(config), Normalize(**config.pixels))
        model.load_state_dict(content["weights"])
        model.input_size = content["input_size"]
        batches = [dict(batch) for batch in content["batches"]]
        said = [f"step {content['step']}, batches: {len(batches)}"]
        with precision_of(config):
            for number, batch in enumerate(batches):
                said += [f"batch {number}: {line}" for line in look(model, batch)]
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise UserError(f"{path} is damaged or of another version: {error}") from error
    broken = [name for name, one in model.named_parameters() if not finite(one)]
    return [*said, f"weights that are not finite before: {named(broken)}"]


@contextmanager
def precision_of(config: Config) -> Iterator[None]:
    """bfloat16 where the training has it."""
    mixed = config.optim_wrapper.get("type") == "BFloat16OptimWrapper"
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        yield


def look(model: Pretrainer, batch: Mapping[str, Any]) -> list[str]:
    """Lines on a batch: its loss, where it breaks, by which images, and the gradients."""
    model.train()
    model.zero_grad()
    data = model.data_preprocessor(batch, True)
    with first_break(model) as found:
        loss = model(**data)["loss"]
    loss.backward()
    lines = [f"loss {loss.item():g}"]
    if found:
        lines.append(f"the first that is not finite is {found[0]}")
    if not finite(loss):
        lines.append(f"images whose loss is not finite: {guilty(model, data)}")
    gradients = [
        n for n, p in model.named_parameters() if p.grad is not None and not finite(p.grad)
    ]
    return [*lines, f"gradients that are not finite: {named(gradients)}"]


@contextmanager
def first_break(model: nn.Module) -> Iterator[list[str]]:
    """In the block, what was not finite, such as 'the output of x.y', as it came.

    Inputs are looked at, too: what lies between two modules is none.
    """
    found: list[str] = []
    hooks = []
    for name, module in model.named_modules():

        def before(_: nn.Module, given: Any, name: str = name) -> None:
            if not finite(given):
                found.append(f"the input of {name}")

        def after(_: nn.Module, __: Any, output: Any, name: str = name) -> None:
            if not finite(output):
                found.append(f"the output of {name}")

        hooks += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def guilty(model: Pretrainer, data: Mapping[str, Any]) -> str:
    """Numbers in the batch of those images whose loss alone is not finite."""
    found = []
    for i in range(len(data["inputs"])):
        one = {key: value[i : i + 1] for key, value in data.items()}
        if not finite(model(**one)["loss"]):
            found.append(str(i))
    return ", ".join(found) or "none alone"


def finite(value: Any) -> bool:
    """Whether all numbers in a tensor, or any nesting of tensors, are finite."""
    if isinstance(value, torch.Tensor):
        return bool(value.isfinite().all())
    if isinstance(value, Mapping):
        return all(finite(one) for one in value.values())
    if isinstance(value, list | tuple):
        return all(finite(one) for one in value)
    return True


def named(names: list[str]) -> str:
    """How many, and the first of them."""
    if not names:
        return "none"
    more = ", ..." if len(names) > NAMED else ""
    return f"{len(names)} ({', '.join(names[:NAMED])}{more})"

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from downstream.dense.instances import instance_splits
from downstream.dense.task import build, prepare
from downstream.detection.precision import in_float32
from downstream.detection.stage import TASK
from mae_core.stage import SilentReporter


def test_every_tensor_is_cast() -> None:
    half = torch.ones(2, dtype=torch.bfloat16)
    found = in_float32((half, [half, half]))
    assert isinstance(found, tuple) and isinstance(found[1], list)
    assert {part.dtype for part in (found[0], *found[1])} == {torch.float32}


def test_boxes_are_exact_while_layers_work_in_bfloat16(config: Config, tmp_path: Path) -> None:
    init_default_scope("mmdet")
    torch.manual_seed(0)
    images = prepare(TASK, config, "random", instance_splits(config), tmp_path, SilentReporter())
    model = build(TASK, config, SilentReporter()).train()
    inside: set[torch.dtype] = set()
    model.rpn_head.rpn_conv.register_forward_hook(lambda *args: inside.add(args[2].dtype))
    boxes: list[torch.Tensor] = []
    predict = model.rpn_head.predict_by_feat

    def noting(*args: object, **options: object) -> object:
        found = predict(*args, **options)
        boxes.extend(one.bboxes for one in found)
        return found

    model.rpn_head.predict_by_feat = noting
    item = images.train[0]
    batch = {"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]}
    data = model.data_preprocessor(batch, training=True)
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(**data, mode="loss")
    assert inside == {torch.bfloat16}
    assert boxes and all(b.dtype == torch.float32 for b in boxes)
    fractions = torch.cat(boxes) * 8 % 1  # bfloat16 has steps of 1/8 from 16 to 32
    assert fractions.ne(0).any()
    assert all(
        torch.isfinite(torch.as_tensor(v)).all() for v in losses.values() if torch.is_tensor(v)
    )

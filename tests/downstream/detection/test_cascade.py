from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.structures.bbox import bbox2roi
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import nn

from downstream.dense.instances import instance_splits
from downstream.dense.task import build, prepare
from downstream.detection.cascade import scale_gradient
from downstream.detection.stage import TASK
from mae_core.config import load_config
from mae_core.stage import SilentReporter
from tests.downstream.conftest import take_masks_away


@pytest.fixture
def cascade(config: Config, tmp_path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """A small detector with the heads of the shipped recipe, and one training image for it."""
    return built(config, tmp_path)


def built(config: Config, tmp_path: Path) -> tuple[nn.Module, dict[str, Any]]:
    init_default_scope("mmdet")
    shipped = load_config("detect/cascade-mask-rcnn_vit-base-p16_8xb8-amp-lsj-100e_coco").model
    roi = config.model.roi_head
    fields = {key: shipped.roi_head[key] for key in ("type", "num_stages", "stage_loss_weights")}
    roi.update(fields, bbox_head=[roi.bbox_head] * 3)
    config.model.type, config.image.flip = shipped.type, 0.0
    config.model.train_cfg.rcnn = shipped.train_cfg.rcnn
    images = prepare(TASK, config, "random", instance_splits(config), tmp_path, SilentReporter())
    torch.manual_seed(0)
    model = build(TASK, config, SilentReporter())
    item = images.train[0]
    batch = {"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]}
    return model, model.data_preprocessor(batch, training=True)


def test_the_mask_head_is_one_and_learns_from_the_first_stage(
    cascade: tuple[nn.Module, dict[str, Any]],
) -> None:
    model, data = cascade
    assert (len(model.roi_head.bbox_head), len(model.roi_head.mask_head)) == (3, 1)
    losses = model(**data, mode="loss")
    assert {name for name in losses if "mask" in name} == {"s0.loss_mask"}
    assert {f"s{stage}.loss_cls" for stage in range(3)} <= losses.keys()
    model.eval()
    with torch.no_grad():
        (found,) = model(**data, mode="predict")
    assert found.pred_instances.masks.shape[1:] == (48, 48)
    assert model.roi_head.num_stages == 3


def test_without_masks_it_is_a_cascade_of_boxes(config: Config, tmp_path: Path) -> None:
    for name in ("train", "val"):
        take_masks_away(Path(config.data_root, f"instances_{name}.json"))
    model, data = built(config, tmp_path)
    losses = model(**data, mode="loss")
    assert not any("mask" in name for name in [*losses, *dict(model.named_parameters())])
    model.eval()
    with torch.no_grad():
        (found,) = model(**data, mode="predict")
    assert set(found.pred_instances.keys()) == {"bboxes", "labels", "scores"}


def test_all_boxes_go_on_to_the_next_stage_with_the_annotated_ones(
    cascade: tuple[nn.Module, dict[str, Any]],
) -> None:
    model, data = cascade
    head, seen = model.roi_head, []
    plain = head.bbox_loss

    def watched(stage: int, x: Any, sampling_results: Any) -> Any:
        seen.append((len(sampling_results[0].priors), sampling_results[0].pos_is_gt.sum().item()))
        return plain(stage, x, sampling_results)

    head.bbox_loss = watched
    model(**data, mode="loss")
    (first, added), *later = seen
    assert added == 1  # the scene's one square
    assert later == [(first, 0)] * 2


def test_a_crop_without_objects_is_learnt_from(cascade: tuple[nn.Module, dict[str, Any]]) -> None:
    model, data = cascade
    (sample,) = data["data_samples"]
    sample.gt_instances = sample.gt_instances[:0]
    losses = model(**data, mode="loss")
    flat = [v for value in losses.values() for v in (value if isinstance(value, list) else [value])]
    assert all(value.isfinite() for value in flat)
    sum(flat).backward()
    assert all(p.grad is not None for p in model.roi_head.parameters())


def test_box_heads_send_back_a_third_of_their_gradient(
    cascade: tuple[nn.Module, dict[str, Any]],
) -> None:
    model, data = cascade
    head = model.roi_head
    levels = [m.detach().requires_grad_() for m in model.extract_feat(data["inputs"])]
    rois = bbox2roi([torch.tensor([[4.0, 4.0, 30.0, 36.0]])])
    head._bbox_forward(1, tuple(levels), rois)["cls_score"].sum().backward()
    extractor, box_head = head.bbox_roi_extractor[1], head.bbox_head[1]
    direct = [m.detach().requires_grad_() for m in levels]
    box_head(extractor(direct[: extractor.num_inputs], rois))[0].sum().backward()
    assert levels[0].grad is not None and levels[0].grad.abs().sum() > 0
    torch.testing.assert_close(levels[0].grad * 3, direct[0].grad)
    x = torch.randn(3)
    assert scale_gradient(x, 0.5) is not x and torch.equal(scale_gradient(x, 0.5), x)


def test_a_score_is_the_mean_of_the_stages_probabilities(
    cascade: tuple[nn.Module, dict[str, Any]],
) -> None:
    model, data = cascade
    model.eval()
    head, logits = model.roi_head, []
    for box_head in head.bbox_head:
        nn.init.normal_(box_head.fc_cls.weight, std=1.0)
        box_head.register_forward_hook(lambda _, __, out: logits.append(out[0]))
    boxes = torch.tensor([[0.0, 0.0, 20.0, 20.0], [10.0, 12.0, 40.0, 44.0]])
    metas = [sample.metainfo for sample in data["data_samples"]]
    with torch.no_grad():
        maps = model.extract_feat(data["inputs"])
        (found,) = head.predict_bbox(maps, metas, [InstanceData(bboxes=boxes)], None)
    expected = sum(score.softmax(-1) for score in logits) / 3
    torch.testing.assert_close(found.scores, expected)
    assert not torch.allclose(expected, (sum(logits) / 3).softmax(-1), atol=1e-3)

from pathlib import Path

import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

import downstream.dense.backbone
import downstream.detection.cascade  # noqa: F401  both register
from downstream.dense.data import instance_splits
from downstream.detection.stage import complete
from mae_core.engine.config import load_config


def test_the_mask_head_is_one_and_learns_from_the_first_stage(
    config: Config, tmp_path: Path
) -> None:
    init_default_scope("mmdet")
    cascade = load_config("detect/cascade-mask-rcnn_vit-base-p16_8xb8-amp-lsj-100e_coco")
    roi = config.model.roi_head
    roi.update(type="OneMaskCascadeRoIHead", num_stages=3, stage_loss_weights=[1, 0.5, 0.25])
    roi.bbox_head = [roi.bbox_head] * 3
    config.model.type = cascade.model.type
    config.model.train_cfg.rcnn = cascade.model.train_cfg.rcnn
    _, val = complete(config, "random", instance_splits(config), tmp_path)
    model = MODELS.build(config.model)
    assert (len(model.roi_head.bbox_head), len(model.roi_head.mask_head)) == (3, 1)
    train = DATASETS.build(config.train_dataloader.dataset)
    item = train[0]
    batch = {"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]}
    data = model.data_preprocessor(batch, training=True)
    losses = model(**data, mode="loss")
    assert {name for name in losses if "mask" in name} == {"s0.loss_mask"}
    assert {f"s{stage}.loss_cls" for stage in range(3)} <= losses.keys()
    model.eval()
    item = val[0]
    with torch.no_grad():
        (found,) = model.test_step(
            {"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]}
        )
    assert found.pred_instances.masks.shape[1:] == (48, 48)
    assert model.roi_head.num_stages == 3

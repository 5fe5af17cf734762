"""The recipes for detection and segmentation are the published ones, and every one of them runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope
from PIL import Image
from timm.layers import LayerNorm2d

from downstream.dense.backbone import place_encoder
from downstream.dense.instances import instance_splits
from downstream.dense.task import prepare
from downstream.detection import stage as detection
from downstream.scratch import recipe_for
from downstream.segmentation import stage as segmentation
from downstream.segmentation.check import read_semantic
from mae_core.config import CONFIG_ROOT, load_config
from mae_core.data.demo.coco import coco_file
from mae_core.encoders import create_encoder
from mae_core.engine.batch import batch_of, scaled_optimizer
from mae_core.engine.optim import LayerDecayConstructor
from mae_core.stage import SilentReporter
from tests.downstream.conftest import square

pytestmark = pytest.mark.slow

PIXELS = 48  # a multiple of every patch
SLIM = 16  # channels
DETECT = sorted(f"detect/{p.stem}" for p in (CONFIG_ROOT / "detect").glob("*.py"))
SEGMENT = sorted(f"segment/{p.stem}" for p in (CONFIG_ROOT / "segment").glob("*.py"))
VITDET = {  # arXiv 2203.16527, A.2: layer decay, drop path, epochs, global blocks
    "base": (0.7, 0.1, 100, [2, 5, 8, 11]),
    "large": (0.8, 0.4, 100, [5, 11, 17, 23]),
    "huge": (0.9, 0.5, 75, [7, 15, 23, 31]),
}
MILLIONS = {  # arXiv 2203.16527, Table 5, of whole detectors
    ("mask-rcnn", "base"): 111,
    ("mask-rcnn", "large"): 331,
    ("mask-rcnn", "huge"): 662,
    ("cascade-mask-rcnn", "base"): 141,
    ("cascade-mask-rcnn", "large"): 361,
    ("cascade-mask-rcnn", "huge"): 692,
}
UPERNET = {"base": (0.65, 0.1, [3, 5, 7, 11], 163), "large": (0.75, 0.2, [7, 11, 15, 23], 441)}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def vitdet(kind: str, size: str) -> Config:
    return load_config(f"detect/{kind}_vit-{size}-p16_8xb8-amp-lsj-{VITDET[size][2]}e_coco")


@pytest.mark.parametrize("kind, size", MILLIONS)
def test_vitdet_is_the_published_one(kind: str, size: str) -> None:
    config = vitdet(kind, size)
    decay, drop_path, epochs, blocks = VITDET[size]
    optimizer = config.optim_wrapper.optimizer
    assert config.optim_wrapper.type == "BFloat16OptimWrapper"
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("AdamW", 1e-4, 0.1)
    assert config.optim_wrapper.paramwise_cfg.layer_decay == decay
    assert (config.encoder.drop_path, config.train_cfg.max_epochs) == (drop_path, epochs)
    assert (config.image.size, tuple(config.image.jitter)) == (1024, (0.1, 2.0))
    assert batch_of(config, 8).update == 64
    assert scaled_optimizer(config, batch_of(config, 8))["optimizer"]["lr"] == 1e-4
    warmup, steps = config.param_scheduler
    assert (warmup.end, warmup.by_epoch) == (250, False)
    # detectron2's steps are at 88.9 % and 96.3 % of the training.
    assert [m / epochs for m in steps.milestones] == pytest.approx([0.889, 0.963], abs=0.005)
    backbone = config.model.backbone
    assert (backbone.window, backbone.global_blocks) == (14, blocks)
    with torch.device("meta"):
        encoder = create_encoder(**config.encoder)
    assert (backbone.layers, encoder.patch_size) == ([encoder.depth - 1], 16)


@pytest.mark.parametrize("kind, size", MILLIONS)
def test_vitdet_is_what_detectron2_trains(kind: str, size: str) -> None:
    """detectron2: projects/ViTDet/configs, configs/common/{optim,models/mask_rcnn_vitdet}.py."""
    config = vitdet(kind, size)
    assert "clip_grad" not in config.optim_wrapper and config.square_pad
    assert config.optim_wrapper.paramwise_cfg.decay_vectors  # weight_decay_norm=0 and no other
    backbone = config.model.backbone
    assert backbone.train_positions and backbone.pad_windows and not backbone.final_norm
    assert config.model.train_cfg.rpn.assigner.min_pos_iou == 0
    stages = detection.as_list(config.model.train_cfg.rcnn)
    thresholds = [0.5, 0.6, 0.7] if kind.startswith("cascade") else [0.5]
    assert [stage.assigner.pos_iou_thr for stage in stages] == thresholds
    assert not any(stage.assigner.match_low_quality for stage in stages)
    assert stages[0].sampler.num == 512 and stages[0].sampler.pos_fraction == 0.25
    if kind.startswith("cascade"):
        assert [stage.sampler.type for stage in stages[1:]] == ["PseudoSampler"] * 2
        assert set(config.model.roi_head.stage_loss_weights) == {1}


def test_positions_and_vectors_of_vitdet_decay_as_in_detectron2() -> None:
    model = built(detection, vitdet("mask-rcnn", "base"), 80)
    constructor = LayerDecayConstructor(
        {"optimizer": {"type": "AdamW", "lr": 1.0, "weight_decay": 0.1}},
        {"layer_decay": 0.7, "decay_vectors": True},
    )
    groups: list[dict[str, Any]] = []
    constructor.add_params(groups, model)
    of = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    found = {name: of[id(p)] for name, p in model.named_parameters() if p.requires_grad}
    block = "backbone.encoder.blocks.3"
    assert found["backbone.encoder.pos_embed"] == (pytest.approx(0.7**13), 0)
    assert found[f"{block}.attn.qkv.bias"] == (pytest.approx(0.7**9), 0.1)
    assert found[f"{block}.attn.rel_pos_h"] == (pytest.approx(0.7**9), 0.1)
    assert found[f"{block}.norm1.weight"] == (pytest.approx(0.7**9), 0)
    assert found["rpn_head.rpn_cls.bias"] == (1, 0.1)
    norms = [name for name, m in model.neck.named_modules() if isinstance(m, LayerNorm2d)]
    assert norms and all(found[f"neck.{name}.weight"] == (1, 0.1) for name in norms)
    assert not any("encoder.norm" in name for name in found)


def test_vitdet_sees_squares(scenes: Path, tmp_path: Path) -> None:
    """Otherwise positions would be stretched in one way in training, in another in tests."""
    config = shrunk("detect/mask-rcnn_vit-base-p16_8xb8-amp-lsj-100e_coco", scenes)
    config.image.size = 64
    init_default_scope("mmdet")
    prepare(detection.TASK, config, "random", instance_splits(config), tmp_path, SilentReporter())
    preprocess = MODELS.build(config.model.data_preprocessor)
    images = [torch.full((3, 40, 64), 255), torch.full((3, 9, 11), 255)]
    samples = [DetDataSample(metainfo={"img_shape": tuple(i.shape[1:])}) for i in images]
    for one in (images, images[:1]):
        batch = {"inputs": list(one), "data_samples": samples[: len(one)]}
        seen = preprocess(batch)["inputs"]
        assert seen.shape == (len(one), 3, 64, 64)
        assert not seen[0, :, 40:].any()  # zeros after normalisation, as detectron2's


@pytest.mark.parametrize("kind, size", MILLIONS)
def test_detectors_have_as_many_parameters_as_published(kind: str, size: str) -> None:
    model = built(detection, vitdet(kind, size), 80)
    assert parameters(model) / 1e6 == pytest.approx(MILLIONS[kind, size], rel=0.01)


@pytest.mark.parametrize("size", UPERNET)
def test_upernet_is_what_mmsegmentation_trains(size: str) -> None:
    """Its configs/mae/mae-base_upernet_8xb2-amp-160k_ade20k-512x512.py, and BEiT's for large."""
    config = load_config(f"segment/upernet_vit-{size}-p16_8xb2-amp-160k_ade20k")
    decay, drop_path, layers, millions = UPERNET[size]
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (1e-4, 0.05)
    assert config.optim_wrapper.paramwise_cfg.layer_decay == decay
    assert (config.encoder.drop_path, config.model.backbone.layers) == (drop_path, layers)
    assert batch_of(config, 8).update == 16
    assert config.train_cfg.max_epochs * (20210 // 16) == pytest.approx(160_000, rel=0.01)
    assert config.model.test_cfg.mode == "slide" and config.image.crop == 512
    backbone = config.model.backbone
    assert (config.encoder.img_size, backbone.relative_bias) == (512, 512 // 16)
    assert backbone.layer_scale and backbone.train_positions and not backbone.final_norm
    assert tuple(config.model.test_cfg.stride) == (341, 341)
    # Published for BEiT.
    assert parameters(built(segmentation, config, 150)) / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.parametrize("size", UPERNET)
def test_the_papers_upernet_has_100_epochs(size: str) -> None:
    config = load_config(f"segment/upernet_vit-{size}-p16_8xb2-amp-100e_ade20k")
    assert config.train_cfg.max_epochs == config.param_scheduler[-1].end == 100


def test_the_linear_layer_is_dinov2s() -> None:
    """dinov2/eval/segmentation: a batch norm and a layer of 1 × 1, AdamW, 40,000 updates."""
    config = load_config("segment/linear_vit-base-p16_8xb2-amp-40k_ade20k")
    assert config.train_cfg.max_epochs * (20210 // 16) == pytest.approx(40_000, rel=0.02)
    assert config.optim_wrapper.optimizer.lr == 1e-3
    model = built(segmentation, config, 150)
    trained = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {
        "neck.norm.weight": 768,
        "neck.norm.bias": 768,
        "decode_head.conv_seg.weight": 150 * 768,
        "decode_head.conv_seg.bias": 150,
    }


@pytest.mark.parametrize("name", [*DETECT, *SEGMENT])
def test_random_weights_have_a_recipe_of_their_own(name: str) -> None:
    config = load_config(name)
    own, plain = (recipe_for(config, encoder) for encoder in ("random", "some.safetensors"))
    chosen_on_val = name == "segment/upernet_vit-micro-p6_1xb20-14e_demo"
    assert own.optim_wrapper.paramwise_cfg.layer_decay == (0.75 if chosen_on_val else 1.0)
    assert plain.optim_wrapper.paramwise_cfg.layer_decay < 1.0 or "linear" in name
    for recipe in (own, plain):
        epochs, schedule = recipe.train_cfg.max_epochs, recipe.get("param_scheduler")
        last = schedule[-1] if schedule else {}
        assert last.get("end", epochs) == epochs
        assert all(step < epochs for step in last.get("milestones", []))


def test_the_values_of_coco_stuff_are_those_of_its_categories() -> None:
    config = load_config("segment/upernet_vit-base-p16_8xb2-amp-160k_coco-stuff164k")
    assert len(config.pixel_values) == 171 and 255 not in config.pixel_values
    assert config.train_cfg.max_epochs * (118_287 // 16) == pytest.approx(160_000, rel=0.03)


def built(stage: Any, config: Config, classes: int) -> torch.nn.Module:
    init_default_scope(config.default_scope)
    place_encoder(config, "random")
    model = config.model
    if stage is detection:
        model.test_cfg.rcnn.max_per_img = 100
        heads = (model.roi_head.bbox_head, model.roi_head.mask_head)
        for head in (part for some in heads for part in detection.as_list(some)):
            head.num_classes = classes
    else:
        for key in ("decode_head", "auxiliary_head"):
            if model[key] is not None:
                model[key].num_classes = classes
    with torch.device("meta"):
        return MODELS.build(model)


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight scenes of one bright square each, with instances and masks of two classes."""
    folder, rng = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0)
    drawn = {f"{i:02}.png": square(rng, i % 2) for i in range(8)}
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for name, scene in drawn.items():
        Image.fromarray(scene.image).convert("RGB").save(folder / "images" / name)
        Image.fromarray(scene.semantic()).save(folder / "masks" / name)
    content = coco_file(drawn, ("small", "large"), "train")
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def shrunk(name: str, scenes: Path) -> Config:
    """The config on `scenes`, its encoder cut to few narrow blocks, its heads slim, two steps."""
    config = load_config(name)
    config.pop("scratch", None)
    data = {"images": "images", "annotations": "annotations.json", "masks": "masks"}
    config.data_root, config.train_data, config.val_data = str(scenes), data, data
    backbone = config.model.backbone
    depth = max(2, len(backbone.layers))
    config.encoder.update(width=32, depth=depth, heads=2)
    backbone.layers = list(range(depth))[-len(backbone.layers) :]
    if "window" in backbone:
        backbone.update(window=3, global_blocks=[1])
    if "activation_checkpointing" in config:
        config.activation_checkpointing = [f"backbone.encoder.blocks.{i}" for i in range(depth)]
    config.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
    config.test_loader.update(num_workers=0)
    config.train_cfg.max_epochs = 1
    if config.stage == "detect":
        make_slim(config.model)
        few = {"nms_pre": 16, "max_per_img": 16}
        for part in (config.model.train_cfg.rpn_proposal, config.model.test_cfg.rpn):
            part.update(few)
        for part in detection.as_list(config.model.train_cfg.rcnn):
            part.sampler.num = 8
        config.max_detections = 10
    return config


def make_slim(model: ConfigDict) -> None:
    """Cut the channels of a detector's neck and heads."""
    model.neck.out_channels = SLIM
    model.rpn_head.update(in_channels=SLIM, feat_channels=SLIM)
    heads = model.roi_head
    heads.bbox_roi_extractor.out_channels = heads.mask_roi_extractor.out_channels = SLIM
    for head in detection.as_list(heads.bbox_head):
        head.update(in_channels=SLIM, conv_out_channels=SLIM, fc_out_channels=SLIM)
    heads.mask_head.update(in_channels=SLIM, conv_out_channels=SLIM)


@pytest.mark.parametrize("name", DETECT)
def test_every_detector_trains_and_is_evaluated(name: str, scenes: Path, tmp_path: Path) -> None:
    config = shrunk(name, scenes)
    config.image.update(size=PIXELS, crop=None)
    result = detection.run(config, "random", tmp_path, SilentReporter())
    assert {"detect/box_AP", "detect/mask_AP50"} <= result.metrics.keys()
    assert [p.name for p in tmp_path.glob("step_*.pth")] == ["step_2.pth"]


@pytest.mark.parametrize("name", SEGMENT)
def test_every_segmentor_trains_and_is_evaluated(name: str, scenes: Path, tmp_path: Path) -> None:
    config = shrunk(name, scenes)
    config.classes, config.pixel_values, config.ignored = ["none", "small", "large"], None, []
    config.image.update(scale=(PIXELS, PIXELS), crop=PIXELS)
    config.multiscale = [1.0, 2.0] if "micro" in name else [0.7, 1.0]
    config.model.decode_head.channels = 16 if "linear" not in name else 32
    if config.model.test_cfg.mode == "slide":
        config.model.test_cfg.update(crop_size=(48, 48), stride=(24, 24))
    result = segmentation.run(config, "random", tmp_path, SilentReporter())
    assert {"segment/mIoU", "segment/mIoU_multiscale"} <= result.metrics.keys()
    assert [p.name for p in tmp_path.glob("step_*.pth")] == ["step_2.pth"]


@pytest.mark.parametrize("name", [n for n in (*DETECT, *SEGMENT) if n.endswith("-auto")])
def test_size_classes_and_schedule_follow_from_the_data(
    name: str, scenes: Path, tmp_path: Path
) -> None:
    config = load_config(name)
    data = {"images": "images", "annotations": "annotations.json", "masks": "masks"}
    config.data_root, config.train_data, config.val_data = str(scenes), data, data
    if config.stage == "detect":
        init_default_scope("mmdet")
        prepare(
            detection.TASK, config, "random", instance_splits(config), tmp_path, SilentReporter()
        )
        assert config.image.size == 64  # 48 rounded up to the detector's 32
        assert config.model.data_preprocessor.pad_size_divisor == 64
        assert config.model.roi_head.bbox_head.num_classes == 2
        assert config.train_cfg.max_epochs == config.updates * 4 / 8
    else:
        init_default_scope("mmseg")
        prepare(
            segmentation.TASK, config, "random", read_semantic(config), tmp_path, SilentReporter()
        )
        assert (config.image.crop, tuple(config.image.scale)) == (64, (256, 64))
        windows = config.model.test_cfg  # as large as the crops of the training
        assert (windows.mode, windows.crop_size, windows.stride) == ("slide", (64, 64), (42, 42))
        assert config.model.decode_head.num_classes == 3
        assert config.train_cfg.max_epochs == config.updates

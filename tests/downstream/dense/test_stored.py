"""Files of models that somebody else wrote: taken, or refused in one message, never executed."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mmseg.models  # noqa: F401  both register
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.registry.root import MODELS
from safetensors.torch import save_file

import downstream.dense.pyramid
import downstream.detection.cascade  # noqa: F401  both register
from downstream.dense.backbone import place_encoder
from downstream.dense.stored import to_store
from downstream.dense.trained import USED, load_trained
from downstream.detection import stage as detection
from downstream.segmentation import stage as segmentation
from mae_core import UserError
from mae_core.checkpoints import save_weights
from mae_core.config import load_config
from tests.downstream.conftest import TINY

NAMES = {
    "detect": "detect/mask-rcnn_vit-micro-p6_1xb4-2e_demo",
    "segment": "segment/upernet_vit-micro-p6_1xb20-14e_demo",
}
FILES = {"detect": detection.TASK.file, "segment": segmentation.TASK.file}
CLASSES = {"detect": ["small", "large"], "segment": ["background", "small", "large"]}
EXAMPLES = int(os.environ.get("EXAMPLES", 25))  # thousands by hand

Fields = dict[str, Any]


def fields_of(stage: str) -> Fields:
    """A config as a stage leaves it in its file."""
    config = load_config(NAMES[stage])
    config.encoder.update(TINY)
    config.model.backbone.layers = [1]
    place_encoder(config, "random")
    if stage == "detect":
        config.model.test_cfg.rcnn.max_per_img = config.max_detections
        for head in (config.model.roi_head.bbox_head, config.model.roi_head.mask_head):
            head.num_classes = 2
    else:
        config.model.decode_head.num_classes = 3
    content: Fields = json.loads(json.dumps(config.to_dict()))
    return content


@pytest.fixture(scope="module", params=["detect", "segment"])
def stage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def built(stage: str) -> tuple[Fields, torch.nn.Module]:
    fields = fields_of(stage)
    init_default_scope(fields["default_scope"])
    return fields, MODELS.build(Config(fields).model)


@pytest.fixture
def stored(
    stage: str, built: tuple[Fields, torch.nn.Module], tmp_path: Path
) -> Iterator[Callable[..., Path]]:
    """Writes a model's file with another config; sees at the end that nothing was executed."""
    path, pwned = tmp_path / "model.safetensors", tmp_path / "pwned"

    def write(change: Callable[[Fields], Any] = lambda _: None, **metadata: Any) -> Path:
        fields = json.loads(json.dumps(built[0]).replace("PWNED", str(pwned)))
        change(fields)
        save_weights(path, built[1], **{"config": fields, "classes": CLASSES[stage]} | metadata)
        return path

    yield write
    assert not pwned.exists()


def test_a_stages_own_file_is_taken(stage: str, stored: Callable[..., Path]) -> None:
    trained = load_trained(stored(), FILES[stage])
    assert trained.classes == tuple(CLASSES[stage]) and not trained.model.training


def test_where_the_encoder_lay_does_not_matter(stage: str, stored: Callable[..., Path]) -> None:
    source = {"source": "/home/other/encoder.safetensors", "resample_patches": True}
    load_trained(stored(lambda fields: fields["model"]["backbone"].update(source)), FILES[stage])


def test_what_a_training_imports_is_not_in_its_models_file(stage: str) -> None:
    config = Config({**fields_of(stage), "custom_imports": {"imports": ["my.hooks"]}})
    assert to_store(config) == fields_of(stage)


HOSTILE: dict[str, Fields] = {
    "a program": {"type": "subprocess.Popen", "args": ["touch", "PWNED"]},
    "a function": {"type": "os.system", "command": "touch PWNED"},
    "builtin": {"type": "builtins.exec", "args": "open('PWNED', 'w')"},
    "a module": {"type": "antigravity"},
    "a scope": {"_scope_": "this", "type": "SimpleFeaturePyramid"},
    "evaluated": {"type": "CameraMotionCompensation", "warp_mode": "open('PWNED', 'w')"},
    "a teacher": {"type": "SimpleFeaturePyramid", "teacher_config": "evil.py"},
    "a download": {"type": "ResNet", "depth": 18, "pretrained": "torchvision"},
    "a file": {"type": "ResNet", "depth": 18, "init_cfg": {"type": "Pretrained"}},
    "language": {"type": "BertModel", "name": "bert"},
    "a path": {"type": "SimpleFeaturePyramid", "x": "/etc/passwd"},
    "replaced": {"type": "SimpleFeaturePyramid", "x": "{{fileDirname}}"},
    "no type": {},
    "a number": {"type": 3},
    "a list": {"type": ["SimpleFeaturePyramid"]},
    "unknown": {"type": "NoSuchNeck"},
    "of data": {"type": "DefaultSampler"},
    "huge": {"type": "SimpleFeaturePyramid", "in_channels": 16, "out_channels": 900_000},
    "endless": {"type": "SimpleFeaturePyramid", "in_channels": 10**400, "out_channels": 4},
    "infinite": {"type": "SimpleFeaturePyramid", "in_channels": float("inf")},
    "not a number": {"type": "SimpleFeaturePyramid", "out_channels": float("nan")},
    "negative": {"type": "SimpleFeaturePyramid", "in_channels": -4, "out_channels": 4},
    "other keys": {"type": "SimpleFeaturePyramid", "what": 4},
}


@pytest.mark.parametrize("neck", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_neck_is_refused_with_the_files_name(
    neck: Fields, stage: str, stored: Callable[..., Path], tmp_path: Path
) -> None:
    neck = json.loads(json.dumps(neck).replace("PWNED", str(tmp_path / "pwned")))
    path = stored(lambda fields: fields["model"].update(neck=neck))
    with pytest.raises(UserError, match=r"model\.safetensors"):
        load_trained(path, FILES[stage])


def nest(depth: int) -> Any:
    node: Any = {}
    for _ in range(depth):
        node = {"a": [node]}
    return node


CHANGES: dict[str, Callable[[Fields], Any]] = {
    "evaluated": lambda f: f["model"]["test_cfg"].update(
        rpn={"nms": {"type": "__import__('os').abort()", "iou_threshold": 0.7}}
    ),
    "scope": lambda f: f.update(default_scope="antigravity"),
    "imports": lambda f: f.update(custom_imports={"imports": ["antigravity"]}),
    "nested": lambda f: f["model"].update(a=nest(200)),
    "no model": lambda f: f.pop("model"),
    "a model of text": lambda f: f.update(model="MaskRCNN"),
    "a list of models": lambda f: f.update(model=[f["model"]]),
    "no backbone": lambda f: f["model"].pop("backbone"),
    "no image": lambda f: f.update(image=None),
    "huge images": lambda f: f.update(image={"size": 10**6, "scale": [10**6, 10**6]}),
    "padding": lambda f: f["model"]["data_preprocessor"].update(
        pad_size_divisor=10**6, size_divisor=10**6
    ),
    "deep": lambda f: f["model"]["backbone"]["encoder"].update(depth=900_000),
    "wide": lambda f: f["model"]["backbone"]["encoder"].update(width=900_000),
    "large": lambda f: f["model"]["backbone"]["encoder"].update(img_size=8192, patch_size=1),
    "no heads": lambda f: f["model"]["backbone"]["encoder"].update(heads=0),
    "other weights": lambda f: f["model"]["backbone"]["encoder"].update(
        depth=3, arch="vit-tiny-p16"
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_config_that_is_no_stages_is_refused(
    change: Callable[[Fields], Any], stage: str, stored: Callable[..., Path]
) -> None:
    with pytest.raises(UserError, match=r"model\.safetensors"):
        load_trained(stored(change), FILES[stage])


@pytest.mark.parametrize(
    "metadata",
    [
        {"config": "[" * 100_000},
        {"config": "{"},
        {"config": "no JSON"},
        {"config": []},
        {"classes": "no list"},
        {"classes": []},
        {"classes": ["one"]},
        {"classes": [1, 2, 3]},
    ],
    ids=range(8),
)
def test_other_metadata_is_refused(
    metadata: Fields, stage: str, stored: Callable[..., Path]
) -> None:
    with pytest.raises(UserError, match=r"model\.safetensors"):
        load_trained(stored(**metadata), FILES[stage])


def test_weights_of_another_model_are_refused(
    stage: str, stored: Callable[..., Path], tmp_path: Path
) -> None:
    about = {"config": json.dumps(fields_of(stage)), "classes": json.dumps(CLASSES[stage])}
    save_file({"a": torch.zeros(3)}, tmp_path / "other.safetensors", about)
    with pytest.raises(UserError, match=r"other\.safetensors.*(no place|weights)"):
        load_trained(tmp_path / "other.safetensors", FILES[stage])


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["os.system", "MaskRCNN", "SimpleFeaturePyramid", "antigravity", "{{"])
    | st.sampled_from([0, 1, 2, 16, 4096, 10**6, -1])
)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "_scope_", "args", "depth", "name"]), inner)
    ),
    max_leaves=6,
)


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every dict or list with each of its keys."""
    if not isinstance(node, dict | list):
        return
    for key in node if isinstance(node, dict) else range(len(node)):
        yield node, key
        yield from places(node[key])


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_any_change_of_a_config_is_taken_or_refused(
    stage: str, stored: Callable[..., Path], data: st.DataObject
) -> None:
    def change(fields: Fields) -> None:
        for _ in range(data.draw(st.integers(1, 3))):
            used = [(node, key) for name in USED for node, key in places(fields.get(name, 0))]
            used += [(fields, name) for name in USED if name in fields]
            number = data.draw(st.integers(0, max(len(used) - 1, 0)))
            if not used:
                return
            node, key = used[number]
            if isinstance(node, dict) and data.draw(st.booleans()):
                node.pop(key)
                continue
            node[key] = data.draw(TREES)

    path = stored(change)
    try:
        trained = load_trained(path, FILES[stage])
    except UserError as error:
        assert "model.safetensors" in str(error)
    else:
        assert trained.classes == tuple(CLASSES[stage])


ARCHES = {
    "an address": "timm:hf-hub:evil/model",
    "a folder": "timm:local-dir:/tmp/evil",
    "a path": "timm:../../evil",
    "none of timm": "timm:no_such_model",
    "weights by another name": "timm:test_resnet.evil",
}


@pytest.mark.parametrize("arch", ARCHES.values(), ids=ARCHES)
def test_an_encoder_of_timm_is_only_a_name(
    arch: str, stage: str, stored: Callable[..., Path]
) -> None:
    encoder = {"arch": arch, "img_size": 64, "in_chans": 3}
    backbone = {"type": "EncoderMaps", "layers": [1, 2], "encoder": encoder}
    path = stored(lambda fields: fields["model"].update(backbone=backbone))
    with pytest.raises(UserError, match=r"model\.safetensors"):
        load_trained(path, FILES[stage])

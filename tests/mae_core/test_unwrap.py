"""Checkpoints in the wrappers that other programs put around weights."""

import json
import tempfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path, PosixPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file
from torch import Tensor
from transformers import ViTConfig, ViTForImageClassification, ViTMAEConfig, ViTMAEModel, ViTModel

from mae_core import UserError, create_encoder
from mae_core.checkpoints import build_encoder, load_weights, read_layout, read_weights
from mae_core.layouts import LAYOUTS, to_layout
from tests.faults import Evil

FIELDS: dict[str, Any] = {
    "arch": "vit-micro-p6",
    "img_size": 24,
    "width": 32,
    "heads": 2,
    "depth": 2,
}
State = dict[str, Tensor]


def state_of(seed: int = 0) -> State:
    """An encoder's weights, all different, in timm's names."""
    generator = torch.Generator().manual_seed(seed)
    state = create_encoder(**FIELDS).state_dict()
    return {k: torch.randn(v.shape, generator=generator) for k, v in state.items()}


def before(prefix: str, state: State) -> State:
    return {prefix + key: value for key, value in state.items()}


def loaded(path: Path) -> State:
    return build_encoder(FIELDS, str(path)).state_dict()


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


PREFIXES = [
    *("module.", "_orig_mod.", "model.", "backbone.", "encoder.", "module._orig_mod.", "net."),
    *(
        "_orig_mod.module.",
        "model.backbone.",
        "module.encoder.",
        "student.backbone.",
        "model.model.",
    ),
    *("module.base_encoder.", "mae.encoder.", "_forward_module.model.vit.", "encoder.encoder."),
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_is_stripped_and_said(tmp_path: Path, prefix: str, layout: str) -> None:
    state = state_of()
    theirs, _ = to_layout(before("encoder.", state), layout)
    torch.save(before(prefix, theirs), tmp_path / "a.pth")
    assert same(loaded(tmp_path / "a.pth"), state)
    notes = str(load_weights(create_encoder(**FIELDS), tmp_path / "a.pth"))
    clean = prefix.replace("_orig_mod.", "")
    if layout in ("mae", "timm"):
        clean = clean.removesuffix("encoder.")  # our own names
    assert f"stripped '{clean}" in notes or not clean


KEYS = [
    *(["module"], ["model_state_dict"], ["state_dict_ema"], ["ema"], ["teacher"], ["model"]),
    *(["state_dict"], ["ema_state_dict"], ["network"], ["ema", "module"], ["state", "model"]),
]


@pytest.mark.parametrize("keys", KEYS, ids=".".join)
def test_dicts_around_the_weights_are_opened_and_said(tmp_path: Path, keys: list[str]) -> None:
    state = state_of()
    content: Any = before("module.", state)
    for key in reversed(keys):
        content = {"epoch": 3, key: content, "optimizer": {"state": {0: {"m": torch.ones(3)}}}}
    torch.save(content, tmp_path / "a.pth")
    assert same(loaded(tmp_path / "a.pth"), state)
    assert f"taken from '{'.'.join(keys)}'" in read_layout(tmp_path / "a.pth").notes


@pytest.mark.parametrize(
    ("taken", "other"),
    [
        *(("ema", "model"), ("state_dict_ema", "state_dict"), ("teacher", "student")),
        *(("model_ema", "model"), ("model", "state_dict"), ("ema_model", "net")),
        *(("model_state_dict", "anything"), ("state_dict", "generator")),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_an_average_is_taken_before_others_and_that_is_said(
    tmp_path: Path, taken: str, other: str, order: int
) -> None:
    first, second = state_of(1), state_of(2)
    torch.save(dict([(taken, first), (other, second)][::order]), tmp_path / "a.pth")
    assert same(loaded(tmp_path / "a.pth"), first)
    (_, said) = read_layout(tmp_path / "a.pth").notes
    assert said.startswith(f"not from '{other}'")
    flat = before(f"{taken}.", first) | before(f"{other}.", second)
    torch.save(flat, tmp_path / "flat.pth")
    assert same(loaded(tmp_path / "flat.pth"), first)


def test_mmengine_keeps_its_average_under_the_usual_name(tmp_path: Path) -> None:
    """Its EMAHook swaps the two when it saves."""
    average, plain = state_of(1), state_of(2)
    names = {f"backbone.{key}": value for key, value in average.items()}
    steps = {"steps": torch.tensor(9)}
    content = {
        "meta": {"mmengine_version": "0.10.7", "seed": np.int64(3)},
        "state_dict": OrderedDict(names),
        "ema_state_dict": steps | before("module.backbone.", plain),
        "message_hub": {"log_scalars": {"loss": HistoryBuffer([1.0], [1])}},
    }
    torch.save(content, tmp_path / "epoch_3.pth")
    assert same(loaded(tmp_path / "epoch_3.pth"), average)


def test_two_encoders_without_a_rule_are_refused_by_name(tmp_path: Path) -> None:
    torch.save({"encoder_q": state_of(1), "encoder_k": state_of(2)}, tmp_path / "a.pth")
    with pytest.raises(
        UserError, match=r"a\.pth holds several encoders \('encoder_q', 'encoder_k'"
    ):
        loaded(tmp_path / "a.pth")


def test_plain_data_beside_the_weights_is_no_code(tmp_path: Path) -> None:
    state, counts = state_of(), defaultdict(int)
    counts["a"] += 1
    content = {
        "model": state,
        "best": np.float64(0.5),
        "acc": np.array([1, 2], dtype=np.float32),
        "names": np.array(["a", "b"]),
        "flag": np.bool_(True),
        "dtype": np.dtype("int16"),
        "out": PosixPath("/tmp"),
        "args": SimpleNamespace(lr=np.float32(1.0)),
        "counts": counts,
    }
    torch.save(content, tmp_path / "a.pth")
    assert same(loaded(tmp_path / "a.pth"), state)


def test_arrays_are_weights_too(tmp_path: Path) -> None:
    state = state_of()
    torch.save({"model": {k: v.numpy() for k, v in state.items()}}, tmp_path / "a.pth")
    assert same(loaded(tmp_path / "a.pth"), state)


def test_what_would_run_code_is_named_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"model": state_of(), "extra": Evil()}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"more than weights \(.+\).*state_dict\(\) alone"):
        loaded(tmp_path / "a.pth")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "module.pth")
    with pytest.raises(UserError, match=r"torch\.nn\.modules\.linear\.Linear"):
        loaded(tmp_path / "module.pth")
    assert "code was executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"epoch": 3, "net_g": {"conv.weight": torch.ones(2)}},
            r"epoch \(int\), net_g \(dict of 1",
        ),
        ({"epoch": 3}, r"no weights by name but epoch \(int\)"),
        ([torch.ones(2)], "no weights by name but a list"),
        (torch.ones(2), "no weights by name but a Tensor"),
        ({}, "an empty dict"),
        ({"layer1.0.weight": torch.ones(2)}, r"layer1\.0\.weight \(Tensor of \(2,\)\)"),
    ],
)
def test_a_refusal_names_what_is_in_the_file(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(UserError, match=message):
        loaded(tmp_path / "a.pth")


@pytest.mark.parametrize("lost", ["module.cls_token", "module.blocks.1.attn.qkv.weight"])
def test_half_a_wrapper_is_not_half_loaded(tmp_path: Path, lost: str) -> None:
    state = before("module.", state_of())
    state[lost.removeprefix("module.")] = state.pop(lost)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"lacks weights of its encoder: "):
        loaded(tmp_path / "a.pth")


def test_quantised_and_infinite_weights_are_refused(tmp_path: Path) -> None:
    state = state_of()
    torch.save({k: v.to(torch.int8) for k, v in state.items()}, tmp_path / "int8.pth")
    with pytest.raises(UserError, match="holds int8: expected float"):
        loaded(tmp_path / "int8.pth")
    state["norm.weight"][3] = torch.nan
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(UserError, match=r"norm\.weight' is not finite"):
        loaded(tmp_path / "nan.pth")


def test_flipped_bits_are_found(tmp_path: Path) -> None:
    state = state_of()
    torch.save(state, tmp_path / "a.pth")
    value = state["norm.weight"].numpy().tobytes()
    content = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(content.replace(value, bytes([value[0] ^ 1]) + value[1:]))
    with pytest.raises(UserError, match="does not fit its check sums"):
        loaded(tmp_path / "a.pth")


THEIRS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 24}
THEIRS |= {"patch_size": 6, "intermediate_size": 128, "layer_norm_eps": 1e-6}


def transformers_models() -> dict[str, Any]:
    return {
        "base": ViTModel(ViTConfig(**THEIRS), add_pooling_layer=False),
        "pooler": ViTModel(ViTConfig(**THEIRS)),
        "mask": ViTModel(ViTConfig(**THEIRS), use_mask_token=True),
        "mae": ViTMAEModel(ViTMAEConfig(**THEIRS)),
        "classifier": ViTForImageClassification(ViTConfig(**THEIRS)),
    }


@pytest.mark.parametrize("name", ["base", "pooler", "mask", "mae", "classifier"])
@pytest.mark.parametrize("shards", [False, True])
def test_transformers_models_load_and_compute_the_same(
    tmp_path: Path, name: str, shards: bool
) -> None:
    theirs = transformers_models()[name].eval()
    theirs.save_pretrained(tmp_path / "hf", max_shard_size="30KB" if shards else "5GB")
    torch.save({"module": theirs.state_dict()}, tmp_path / "own.pth")
    images = torch.randn(2, 3, 24, 24)
    for path in (tmp_path / "hf", tmp_path / "own.pth"):
        encoder = build_encoder(FIELDS, str(path)).eval()
        if name == "mae":
            assert encoder.blocks[0].attn.qkv.weight.shape == (96, 32)
            continue
        inner = theirs.vit if name == "classifier" else theirs
        expected = inner(images).last_hidden_state
        torch.testing.assert_close(encoder(images), expected, atol=1e-4, rtol=1e-4)


def shards(folder: Path, state: State) -> Path:
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    names = sorted(state)
    parts = [names[::2], names[1::2]]
    for file, part in zip(files, parts, strict=True):
        save_file({name: state[name] for name in part}, folder / file)
    places = {name: f for f, part in zip(files, parts, strict=True) for name in part}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


def test_sharded_weights_are_put_together(tmp_path: Path) -> None:
    state = state_of()
    index = shards(tmp_path, before("module.", state))
    assert same(loaded(index), state)
    assert same(loaded(tmp_path), state)
    with pytest.raises(UserError, match="lacks weights of its encoder"):
        loaded(tmp_path / "model-00001-of-00002.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda places: {**places, "more": "gone.safetensors"},
            r"'gone\.safetensors', which is not",
        ),
        (lambda places: {**places, "more": min(places.values())}, "lacks 'more'"),
        (lambda places: {**places, "more": "../a.safetensors"}, r"names '\.\./a\.safetensors'"),
        (lambda places: {**places, "more": "/etc/passwd"}, "names '/etc/passwd'"),
        (lambda places: {**places, "more": 3}, "names '3'"),
        (lambda places: {**places, "more": "model.safetensors.index.json"}, "names 'model"),
        (lambda places: {}, "lists no weights"),
        (lambda places: None, "no list of a model's parts"),
        (lambda places: [1], "no list of a model's parts"),
    ],
)
def test_a_wrong_list_of_parts_is_named(
    tmp_path: Path, change: Callable[[dict[str, str]], Any], message: str
) -> None:
    index = shards(tmp_path, state_of())
    content = json.loads(index.read_text())
    index.write_text(json.dumps({"weight_map": change(content["weight_map"])}))
    with pytest.raises(UserError, match=message):
        loaded(index)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "3", '{"weight_map": 3}', "\0"])
def test_a_damaged_list_of_parts_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(UserError, match=r"index\.json is no list"):
        loaded(tmp_path)


WORDS = "model module ema teacher encoder cls_token pos_embed blocks 0 norm weight layers head"
NAMES = (
    st.lists(st.sampled_from([*WORDS.split(), "_orig_mod", ""]), min_size=1, max_size=4).map(
        ".".join
    )
    | st.integers()
)
VALUES = st.recursive(
    st.none()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from([np.float32(1), np.zeros(2), torch.zeros(2), torch.zeros(1, 17, 32)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(content=VALUES, whole=st.sampled_from(["", "model", "ema.module"]))
@settings(max_examples=60, deadline=None)
def test_any_content_loads_whole_or_is_refused(content: Any, whole: str) -> None:
    state = state_of()
    if isinstance(content, dict) and whole:
        content = {**content, whole: state}
    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save(content, file.name)
        try:
            found = build_encoder(FIELDS, file.name).state_dict()
        except UserError as error:
            assert file.name in str(error)
            return
        assert same(found, state)
        assert read_weights(file.name)

from pathlib import Path

import pytest
import timm
import torch
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from mae_core import UserError, create_encoder, create_model
from mae_core.checkpoints import read_state
from mae_core.layouts import LAYOUTS, detect, from_layout, to_layout

SIZES = {"img_size": 32, "patch_size": 8, "width": 32, "depth": 2, "heads": 2}
DECODER = {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}

# As in the files that these projects publish.
PUBLISHED = {
    "mae": """cls_token pos_embed mask_token decoder_pos_embed patch_embed.proj.weight
        blocks.1.norm1.weight blocks.1.attn.qkv.bias blocks.1.attn.proj.weight blocks.1.mlp.fc2.bias
        norm.bias decoder_embed.weight decoder_blocks.0.norm2.weight
        decoder_blocks.0.attn.qkv.weight decoder_norm.weight decoder_pred.bias""",
    "hf": """vit.embeddings.cls_token vit.embeddings.position_embeddings decoder.mask_token
        decoder.decoder_pos_embed vit.embeddings.patch_embeddings.projection.weight
        vit.encoder.layer.1.layernorm_before.weight
        vit.encoder.layer.1.attention.attention.query.bias
        vit.encoder.layer.1.attention.output.dense.weight vit.encoder.layer.1.output.dense.bias
        vit.layernorm.bias decoder.decoder_embed.weight
        decoder.decoder_layers.0.layernorm_after.weight
        decoder.decoder_layers.0.attention.attention.query.weight
        decoder.decoder_norm.weight decoder.decoder_pred.bias""",
    "mmpretrain": """backbone.cls_token backbone.pos_embed neck.mask_token neck.decoder_pos_embed
        backbone.patch_embed.projection.weight backbone.layers.1.ln1.weight
        backbone.layers.1.attn.qkv.bias backbone.layers.1.attn.proj.weight
        backbone.layers.1.ffn.layers.1.bias backbone.ln1.bias neck.decoder_embed.weight
        neck.decoder_blocks.0.ln2.weight neck.decoder_blocks.0.attn.qkv.weight neck.ln1.weight
        neck.decoder_pred.bias""",
}
CLASSIFIERS = {
    "mae": "head.weight fc_norm.bias",
    "timm": "head.weight fc_norm.bias",
    "mmpretrain": "head.fc.weight backbone.ln2.bias",
}


def state_of_mae() -> dict[str, torch.Tensor]:
    return create_model("vit-micro-p6", **SIZES, **DECODER).state_dict()


def classifier() -> dict[str, torch.Tensor]:
    """A fine-tuned state: the norm after pooling instead of the encoder's own."""
    encoder = create_encoder("vit-micro-p6", **SIZES).state_dict()
    state = {f"encoder.{k}": v for k, v in encoder.items() if not k.startswith("norm.")}
    for name, size in (("head", 10), ("fc_norm", 32)):
        state[f"{name}.weight"] = torch.randn(size, *([32] if name == "head" else []))
        state[f"{name}.bias"] = torch.randn(size)
    return state


@pytest.mark.parametrize("layout", PUBLISHED)
def test_the_names_are_those_of_the_published_files(layout: str) -> None:
    written, left_out = to_layout(state_of_mae(), layout)
    assert left_out == []
    assert set(PUBLISHED[layout].split()) <= written.keys()


@pytest.mark.parametrize("layout", CLASSIFIERS)
def test_the_names_of_classifiers_too(layout: str) -> None:
    written, left_out = to_layout(classifier(), layout)
    assert left_out == []
    assert set(CLASSIFIERS[layout].split()) <= written.keys()


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "timm"])
def test_a_round_trip_is_bit_exact_and_the_layout_is_detected(layout: str) -> None:
    for state in (state_of_mae(), classifier()):
        written, left_out = to_layout(state, layout)
        assert detect(written) == layout
        back = from_layout(written, layout)
        assert back.keys() == state.keys() - left_out
        assert all(torch.equal(back[key], state[key]) for key in back)


def test_keys_without_a_place_are_named() -> None:
    written, left_out = to_layout(state_of_mae(), "timm")
    assert set(left_out) == {k for k in state_of_mae() if k.startswith("decoder.")}
    assert "blocks.0.attn.qkv.weight" in written
    assert to_layout(classifier(), "hf")[1] == ["fc_norm.weight", "fc_norm.bias"]


def test_timms_own_model_is_the_timm_layout() -> None:
    theirs = timm.create_model("vit_tiny_patch16_224", num_classes=3).state_dict()
    written, _ = to_layout(from_layout(theirs, detect(theirs)), "timm")
    assert written.keys() == theirs.keys()


def test_transformers_own_file_is_the_hf_layout(tmp_path: Path) -> None:
    config = ViTMAEConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128,
        image_size=32, patch_size=8, decoder_hidden_size=16, decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2, decoder_intermediate_size=64,
    )  # fmt: skip
    model = ViTMAEForPreTraining(config)
    model.save_pretrained(tmp_path)
    for theirs in (read_state(tmp_path), model.state_dict()):
        assert detect(theirs) == "hf"
        ours = from_layout(theirs, "hf")
        expected = state_of_mae()
        assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in expected.items()}


def test_a_lost_third_of_query_key_value_is_named() -> None:
    written, _ = to_layout(state_of_mae(), "hf")
    del written["vit.encoder.layer.1.attention.attention.key.weight"]
    with pytest.raises(UserError, match=r"layer\.1\..*query\.weight' without all of query, key"):
        from_layout(written, "hf")


def test_weights_of_something_else_are_no_layout() -> None:
    with pytest.raises(UserError, match=r"no weights of a ViT: the first keys are conv1\.weight"):
        detect(["conv1.weight"])

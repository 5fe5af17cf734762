"""Fine-tuning of every family of models of timm."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper

from downstream.classification.classifier import Classifier
from mae_core.data.normalize import Normalize
from mae_core.encoders.timm_zoo import TimmEncoder
from mae_core.engine import optim  # noqa: F401  registers the constructor
from tests.families import FAMILIES, spoil

OPTIM = {
    "type": "OptimWrapper",
    "constructor": "LayerDecayConstructor",
    "optimizer": {"type": "AdamW", "lr": 1e-2, "weight_decay": 0.0},
    "paramwise_cfg": {"layer_decay": 0.65},
}
# What comes after 'avg' in timm, and so has no part in a classifier on it.
AFTER_AVERAGE = ("attn_pool.", "fc_norm.", "head.", "conv_head.", "norm_head.")


def classifier(model: str, pool: str, **fields: object) -> Classifier:
    torch.manual_seed(0)
    normalize = Normalize(mean=[0.0] * 3, std=[255.0] * 3)
    encoder = TimmEncoder(model, **fields)
    spoil(encoder)  # branches that begin as zeros have no gradient within
    return Classifier(encoder, 3, normalize, pool=pool, head_std=0.1).train()


def step(model: Classifier) -> dict[str, torch.Tensor]:
    """One step of training; what the weights were before it."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    wrapper = build_optim_wrapper(model, OPTIM)
    images = torch.randn(4, 3, *model.encoder.img_size)
    losses = model(images, torch.tensor([0, 1, 2, 0]), mode="loss", seed=torch.arange(4))
    wrapper.backward(losses["loss"])
    wrapper.step()
    return before


@pytest.mark.parametrize("name", FAMILIES, ids=lambda name: name.split(",")[0])
def test_a_step_trains_every_weight(name: str) -> None:
    model = classifier(FAMILIES[name][0], "own", **FAMILIES[name][1])
    before = step(model)
    for key, value in model.named_parameters():
        assert value.grad is not None and value.grad.isfinite().all(), key
        # A softmax has no use for a bias of keys, nor some for what all places share.
        if value.ndim > 1:
            assert value.grad.abs().max() > 0, key
            assert not torch.equal(value, before[key]), key


@pytest.mark.parametrize("model", ["test_vit3", "eva02_tiny_patch14_224", "convnextv2_atto"])
def test_on_an_average_only_what_comes_after_it_is_not_trained(model: str) -> None:
    trained = classifier(model, "avg", img_size=56 if model.startswith("eva") else 64)
    before = step(trained)
    for key, value in trained.encoder.model.named_parameters():
        same = torch.equal(value, before[f"encoder.model.{key}"])
        if key.startswith(AFTER_AVERAGE):
            assert same, key
        elif value.ndim > 1:
            assert not same, key


def test_statistics_of_frozen_stages_rest() -> None:
    model = classifier("resnet10t", "avg", img_size=64)
    depth = len(model.encoder.parts()) - 2
    model.freeze(1)
    before = step(model)
    changed = {key for key, value in model.state_dict().items() if not value.equal(before[key])}
    assert depth == 4 and "head.weight" in changed
    assert any(key.endswith("running_mean") for key in changed)
    for key in changed - {"head.weight", "head.bias"}:
        assert key.startswith("encoder.model.layer4."), key

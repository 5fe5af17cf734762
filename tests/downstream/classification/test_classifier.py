import pytest
import timm
import torch
from mmengine.optim import build_optim_wrapper
from timm.optim import param_groups_layer_decay

from downstream.classification.classifier import Classifier
from mae_core import UserError, create_encoder
from mae_core.data.normalize import Normalize
from mae_core.engine import optim  # noqa: F401  registers
from tests.downstream.conftest import TINY

NORMALIZE = {"mean": [0.0] * 3, "std": [255.0] * 3}


def classifier(depth: int = 4, pool: str = "avg", drop_path: float = 0.0) -> Classifier:
    torch.manual_seed(0)
    encoder = create_encoder(**{**TINY, "depth": depth}, img_size=12, drop_path=drop_path)
    for parameter in encoder.norm.parameters():
        torch.nn.init.normal_(parameter)
    return Classifier(encoder, 3, Normalize(**NORMALIZE), pool=pool)


@pytest.mark.parametrize(("pool", "fc_norm"), [("avg", True), ("avg", False), ("token", False)])
def test_it_is_timms_classifier(pool: str, fc_norm: bool) -> None:
    """timm norms after a global average (fc_norm), and the class token before it is taken."""
    ours = classifier(2, "avg" if pool == "avg" else "cls").eval()
    ours.norm_first = not fc_norm
    theirs = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=12,
        patch_size=6,
        embed_dim=TINY["width"],
        depth=2,
        num_heads=TINY["heads"],
        num_classes=3,
        global_pool=pool,
        fc_norm=fc_norm,
    ).eval()
    state = {k.removeprefix("encoder."): v for k, v in ours.state_dict().items()}
    if fc_norm:
        state = {
            k.replace("norm.", "fc_norm.") if k.startswith("norm.") else k: v
            for k, v in state.items()
        }
    theirs.load_state_dict(state)
    images = torch.randn(2, 3, 12, 12)
    torch.testing.assert_close(ours(images, torch.zeros(2)), theirs(images))


@pytest.mark.parametrize("pool", ["avg", "cls"])
def test_the_norm_begins_anew_only_after_an_average(pool: str) -> None:
    weight = classifier(1, pool).encoder.norm.weight
    assert bool((weight == 1).all()) == (pool == "avg")


def test_a_norm_that_comes_first_stays_the_encoders() -> None:
    encoder = classifier(1).encoder
    torch.nn.init.constant_(encoder.norm.weight, 3.0)
    model = Classifier(encoder, 3, Normalize(**NORMALIZE), norm_first=True)
    assert (model.encoder.norm.weight == 3).all() and not model.has_own_norm


def test_layer_decay_is_timms_for_every_parameter() -> None:
    ours = classifier(4)
    wrapper = build_optim_wrapper(
        ours,
        {
            "type": "OptimWrapper",
            "constructor": "LayerDecayConstructor",
            "optimizer": {"type": "AdamW", "lr": 1.0, "weight_decay": 0.05},
            "paramwise_cfg": {"layer_decay": 0.65},
        },
    )
    names = {
        id(p): n.removeprefix("encoder.").replace(
            "norm.", "fc_norm.", n.startswith("encoder.norm.")
        )
        for n, p in ours.named_parameters()
    }
    found = {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in wrapper.param_groups
        for p in group["params"]
        if id(p) in names  # mmengine adds a group that only records the rate
    }
    theirs = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=12,
        patch_size=6,
        embed_dim=16,
        depth=4,
        num_heads=2,
        num_classes=3,
        global_pool="avg",
    )
    names = {id(p): n for n, p in theirs.named_parameters()}
    groups = param_groups_layer_decay(theirs, 0.05, theirs.no_weight_decay(), layer_decay=0.65)
    expected = {
        names[id(p)]: (group["lr_scale"], group["weight_decay"])
        for group in groups
        for p in group["params"]
    }
    assert found.keys() == expected.keys()
    for name, (rate, decay) in expected.items():
        assert found[name] == (pytest.approx(rate), decay), name


def test_fine_tuning_moves_every_weight_and_the_positions() -> None:
    """As models_vit.py of facebookresearch/mae, where positions are learnt."""
    model = classifier()
    before = {name: value.clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randn(4, 3, 12, 12), torch.tensor([0, 1, 2, 0]), mode="loss")["loss"].backward()
        optimizer.step()
    still = {name for name, value in model.named_parameters() if torch.equal(value, before[name])}
    assert "encoder.pos_embed" in before and still == set()


@pytest.mark.parametrize(
    ("blocks", "trained"),
    [
        (0, {"norm"}),
        (0.5, {"norm", "blocks.3.norm2", "blocks.3.mlp"}),
        (1, {"norm", "blocks.3"}),
        (4, {"norm", "blocks.0", "blocks.1", "blocks.2", "blocks.3"}),
    ],
)
def test_only_the_last_blocks_move(blocks: float, trained: set[str]) -> None:
    model = classifier()
    before = {name: value.clone() for name, value in model.named_parameters()}
    model.freeze(blocks)
    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    for _ in range(2):  # the first moves a head of small weights, the second all
        optimizer.zero_grad()
        model(torch.randn(4, 3, 12, 12), torch.tensor([0, 1, 2, 0]), mode="loss")["loss"].backward()
        optimizer.step()
    for name, value in model.named_parameters():
        inside = name.removeprefix("encoder.")
        expected = name.startswith("head.") or any(inside.startswith(f"{t}.") for t in trained)
        assert (not torch.equal(value, before[name])) == expected, name


def test_frozen_blocks_are_whole_in_training_and_the_others_drop_paths() -> None:
    model = classifier(drop_path=0.5)
    model.freeze(1)
    model.train()
    assert [block.training for block in model.encoder.blocks] == [False, False, False, True]


@pytest.mark.parametrize("blocks", [-1, 1.5, 5])
def test_a_number_of_blocks_that_is_none_is_the_users_mistake(blocks: float) -> None:
    with pytest.raises(UserError, match="up to 4"):
        classifier().freeze(blocks)

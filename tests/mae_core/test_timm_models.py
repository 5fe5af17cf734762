import pytest
import timm

from mae_core import UserError
from mae_core.timm_models import check_model, config_of, facts, pretrained_name


def test_a_name_without_a_tag_means_timms_default_weights() -> None:
    full = pretrained_name("resnet50")
    assert full == f"resnet50.{timm.get_pretrained_cfg('resnet50').tag}" != "resnet50."
    assert pretrained_name(full) == full
    assert check_model(full) == check_model("resnet50") == "resnet50"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("vit_base_patch16_224.maee", "'vit_base_patch16_224.mae'"),
        ("vit_base_patch16_223.mae", "'vit_base_patch16_224"),
        ("convnextv2_attoo", "'convnextv2_atto'"),
    ],
)
def test_a_wrong_name_gets_the_nearest_and_no_long_list(name: str, nearest: str) -> None:
    for check in (check_model, pretrained_name):
        with pytest.raises(UserError) as told:
            check(name)
        assert f"did you mean {nearest}" in str(told.value)
        assert len(str(told.value)) < 250


@pytest.mark.parametrize("name", ["../resnet50", "", "zzzz", "hf-hub:timm/resnet50"])
def test_what_is_no_name_is_refused(name: str) -> None:
    for check in (check_model, pretrained_name):
        with pytest.raises(UserError, match="timm has no model called"):
            check(name)


def test_a_model_without_published_weights_says_what_else_it_can_be() -> None:
    with pytest.raises(UserError, match=r"no weights of it: timm:.*@<file> takes yours"):
        pretrained_name("coatnet_0_224")


def test_facts_are_those_of_the_tag() -> None:
    large, usual = (facts(config_of(f"convnext_tiny.in12k_ft_in1k{end}")) for end in ("_384", ""))
    assert large["preprocessing"] == {
        "input_size": [384, 384],
        "interpolation": "bicubic",
        "crop_pct": 1.0,
    }
    assert usual["preprocessing"]["input_size"] == [224, 224]
    assert usual["preprocessing"]["crop_pct"] == 0.95
    assert usual["pixels"]["mean"] == pytest.approx([123.675, 116.28, 103.53])
    assert usual["licence"] == "apache-2.0"

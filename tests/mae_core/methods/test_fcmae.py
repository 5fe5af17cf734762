import torch

from mae_core import create_encoder
from mae_core.methods import create_method
from mae_core.methods.fcmae import FCMAE, LightDecoder


def test_the_papers_decoder_is_one_block_of_512_channels() -> None:
    with torch.device("meta"):
        method = create_method("fcmae", create_encoder("timm:convnextv2_atto"))
    assert isinstance(method, FCMAE)
    assert (method.grid, method.patch_size) == ((7, 7), 32)
    assert method.config == {
        "mask_ratio": 0.6,
        "norm_pix_loss": True,
        "decoder_width": 512,
        "decoder_depth": 1,
    }
    shapes = {name: tuple(p.shape) for name, p in method.decoder.named_parameters()}
    assert shapes["embed.weight"] == (512, 320, 1, 1)
    assert shapes["blocks.0.conv_dw.weight"] == (512, 1, 7, 7)
    assert shapes["blocks.0.mlp.grn.weight"] == (2048,)
    assert shapes["pred.weight"] == (3 * 32 * 32, 512, 1, 1)
    assert not any(name.startswith("blocks.1") for name in shapes)


def test_a_masked_place_is_the_mask_token_and_each_place_gives_its_patch() -> None:
    decoder = LightDecoder(features=6, width=8, depth=1, pixels=5).eval()
    features, hidden = torch.randn(2, 6, 3, 4), torch.rand(2, 3, 4) < 0.5
    found = decoder(features, hidden)
    assert found.shape == (2, 12, 5)
    others = torch.where(hidden.unsqueeze(1), torch.randn_like(features), features)
    assert torch.equal(decoder(others, hidden), found)
    decoder.blocks[0].mlp.fc2.weight.data.zero_()  # the block has no say any more
    alone = decoder(features, hidden)
    token = decoder.pred(decoder.mask_token).flatten()
    torch.testing.assert_close(alone[hidden.flatten(1)], token.expand(int(hidden.sum()), -1))
    hidden[1, 2, 1] = False
    alone = decoder(features, hidden)
    place = decoder.pred(decoder.embed(features[1:, :, 2:, 1:2])).flatten()
    torch.testing.assert_close(alone[1, 9], place)


def test_predictions_of_an_image_do_not_depend_on_those_beside_it() -> None:
    decoder = LightDecoder(features=6, width=8, depth=2, pixels=5)
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter)
    features, hidden = torch.randn(3, 6, 3, 4), torch.rand(3, 3, 4) < 0.5
    torch.testing.assert_close(
        decoder(features[1:2], hidden[1:2]), decoder(features, hidden)[1:2], atol=1e-4, rtol=1e-4
    )

import pytest
import torch
from torch import nn

from mae_core import UserError, create_encoder
from mae_core.methods import create_method
from mae_core.methods.spark import HierarchicalDecoder, SparK, resolutions


def test_the_papers_decoder_takes_four_stages_up_to_pixels() -> None:
    with torch.device("meta"):
        method = create_method("spark", create_encoder("timm:resnet50"))
    assert isinstance(method, SparK) and method.grid == (7, 7)
    assert method.layers == [4, 3, 2, 1]  # not the map before the stages
    projected = [tuple(level.project.weight.shape[:2]) for level in method.decoder.densify]
    assert projected == [(512, 2048), (256, 1024), (128, 512), (64, 256)]
    assert [block[0].in_channels for block in method.decoder.upsample] == [512, 256, 128, 64, 32]
    assert method.decoder.pred.weight.shape == (3, 16, 1, 1)
    assert method.config == {"mask_ratio": 0.6, "norm_pix_loss": True, "decoder_width": 512}


def test_levels_are_of_each_stride_the_last() -> None:
    assert resolutions((2, 4, 8, 16, 32)) == [4, 3, 2, 1]
    assert resolutions((4, 8, 16, 16)) == [3, 1, 0]
    assert resolutions((1, 2, 4, 8)) == [3, 2, 1]  # what comes in at pixels would stay where it is


def test_each_level_is_filled_where_masked_and_counts_elsewhere() -> None:
    decoder = HierarchicalDecoder([6, 5, 4], width=32, stride=2, in_chans=3)
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    patches = torch.rand(2, 2, 3) < 0.5
    patches[0, 0, 0], patches[0, 0, 1] = True, False
    maps, hidden = [], []
    for level, channels in enumerate((6, 5, 4)):
        maps.append(torch.randn(2, channels, 2 << level, 3 << level))
        rows = patches.repeat_interleave(1 << level, 1)
        hidden.append(rows.repeat_interleave(1 << level, 2))
    found = decoder(maps, hidden)
    assert found.shape == (2, 3, 16, 24)
    for level in range(3):
        for shown, same in ((hidden[level], True), (~hidden[level], False)):
            others = list(maps)
            noise = torch.randn_like(maps[level])
            others[level] = torch.where(shown.unsqueeze(1), noise, maps[level])
            assert torch.equal(decoder(others, hidden), found) is same
    alone = decoder([one[1:] for one in maps], [one[1:] for one in hidden])
    torch.testing.assert_close(alone, found[1:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("width", [264, 224])
def test_a_width_that_cannot_be_halved_so_often_says_so(width: int) -> None:
    encoder = create_encoder("timm:test_resnet", img_size=64)
    with pytest.raises(UserError, match=r"decoder_width=2.4: .* multiple of 32, .* from 256 on"):
        create_method("spark", encoder, decoder_width=width)

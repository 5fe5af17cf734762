import pytest
import torch
from timm.layers import DropPath as TimmDropPath

from mae_core import create_encoder
from mae_core.drop_path import DropPath, draw_paths


def test_a_share_of_the_images_skips_a_branch_and_the_mean_stays() -> None:
    path = DropPath(0.3).train()
    draw_paths(path, torch.arange(20000))
    out = path(torch.ones(20000, 2, 3))
    assert out.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert out.mean().item() == pytest.approx(1, abs=5 * (0.3 / 0.7 / 20000) ** 0.5)
    assert torch.equal(out[:, :1, :1].expand_as(out), out)  # an image skips all of a branch or none
    assert torch.equal(path.eval()(out), out)


def test_without_seeds_it_is_timms() -> None:
    path, timms, x = DropPath(0.5).train(), TimmDropPath(0.5).train(), torch.randn(64, 2, 3)
    torch.manual_seed(0)
    expected = timms(x)
    torch.manual_seed(0)
    assert torch.equal(path(x), expected)


def test_an_image_is_encoded_alike_in_any_batch_and_branches_differ() -> None:
    encoder = create_encoder("vit-micro-p6", img_size=12, depth=3, drop_path=0.6).train()
    images, seeds = torch.randn(16, 3, 12, 12), torch.arange(16) << 40
    draw_paths(encoder, seeds)
    whole = encoder(images)
    paths = [module for module in encoder.modules() if isinstance(module, DropPath)]
    assert [path.drop_prob for path in paths] == [0.3, 0.3, 0.6, 0.6]
    assert len({tuple(path.draw.tolist()) for path in paths if path.draw is not None}) == 4
    for part in (slice(0, 4), slice(4, 16)):
        draw_paths(encoder, seeds[part])
        torch.testing.assert_close(encoder(images[part]), whole[part], rtol=1e-4, atol=1e-5)
    draw_paths(encoder, None)
    assert all(path.draw is None for path in paths)

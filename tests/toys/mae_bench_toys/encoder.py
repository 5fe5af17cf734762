"""A family of encoders: a few convolutions."""

from collections.abc import Sequence

from torch import Tensor, nn

from mae_core.encoders import Encoder, register_encoder
from mae_core.encoders.base import Part, to_pair


@register_encoder("toy", {"toy-small": {"width": 8}, "toy-wide": {"width": 16}})
class ToyEncoder(Encoder):
    """Convolutions of strides 2, 1 and 2."""

    def __init__(self, img_size: int = 12, in_chans: int = 3, width: int = 8) -> None:
        super().__init__()
        self.img_size = to_pair(img_size)
        self.config = {"img_size": list(self.img_size), "in_chans": in_chans, "width": width}
        self.widths, self.strides, self.width = (width, 2 * width), (2, 4), 2 * width
        self.stem = nn.Conv2d(in_chans, width, 2, stride=2)
        self.blocks = nn.ModuleList(
            [nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, 2 * width, 2, stride=2)]
        )
        self.last = nn.Conv2d(2 * width, 2 * width, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, width, H / 4, W / 4)."""
        return self.feature_maps(images, [1])[0]

    def pooled(
        self,
        images: Tensor,
        pool: str = "avg",
        norm_last: bool = False,
        layer: int | None = None,
    ) -> Tensor:
        """(N, width), or (N, widths[layer])."""
        if layer is not None:
            return super().pooled(images, pool, norm_last, layer)
        return self(images).mean(dim=(2, 3))

    def feature_maps(self, images: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """After each block in `layers`, the last one's after the last convolution."""
        x, maps = self.stem(images), []
        for number, block in enumerate(self.blocks):
            x = block(x).relu()
            if number in layers:
                maps.append(self.last(x) if number == len(self.blocks) - 1 else x)
        return maps

    def parts(self) -> list[Part]:
        """Stem, blocks, last convolution."""
        return [(self.stem,), *((block,) for block in self.blocks), (self.last,)]

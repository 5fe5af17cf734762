"""What a task needs of an encoder, whatever its family.

A family is a subclass in a module of its own that calls itself by a name:

    @register_encoder("toy", {"toy-small": {"width": 16}})
    class ToyEncoder(Encoder): ...
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from mae_core.errors import UserError

# What not every family offers, as messages say it. `offers` of a class names those it has.
OFFERS = {
    "keep": "looks at some patches only (`forward(images, keep)`)",
    "half_block": "can train half of its last block",
    "attention": "has attention of a class token",
    "plain": "is a plain ViT, whose blocks take windows and relative positions",
    "trained": "has weights that can be trained",
    "maps": "has feature maps",
}
Part = Sequence[nn.Module | nn.Parameter]


@dataclass(frozen=True)
class Preprocessing:
    """What the images were like that an encoder was trained on.

    Attributes:
        size: height and width in pixels.
        mean, std: of each channel, in 0 to 255.
        interpolation: 'bilinear' or 'bicubic'.
        crop_pct: share of the resized image's side that the central crop keeps, above 0 to 1.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    crop_pct: float = 0.875

    def metadata(self) -> dict[str, Any]:
        """What a file with such weights says of it."""
        return {
            "pixels": {"mean": list(self.mean), "std": list(self.std)},
            "preprocessing": {
                "input_size": list(self.size),
                "interpolation": self.interpolation,
                "crop_pct": self.crop_pct,
            },
        }


class Encoder(nn.Module):
    """Images to features.

    A subclass has keyword arguments with defaults, among them `img_size` and `in_chans`, and sets
    these attributes. Nothing else in the project asks for a family.

    Attributes:
        family: its name, see :func:`mae_core.encoders.register_encoder`.
        offers: names of :data:`OFFERS`.
        config: the arguments that build it again, as JSON can say them, among them `img_size`
            [height, width] and `in_chans`; none that only counts in training.
        img_size: height and width of its images in pixels.
        width: channels of :meth:`forward` and of `pooled(images, "avg")`.
        widths: channels of each layer's map, see :meth:`feature_maps`.
        strides: pixels, in both directions, that a place of each layer's map stands for.
        norm: the final norm over channels, if it has one that may also come after the pooling.
        grid, patch_size: rows and columns of patches, and their side in pixels, where it offers
            'keep'.
        all_trained: whether every weight gets a gradient, whatever is asked of it; of others the
            classifier's own layers may be left out.
        optional: fields that `config` does not have where they are None.
        preprocessing: of the images that published weights of the architecture were trained on;
            None where nothing is known but what a recipe says.
    """

    family: ClassVar[str] = ""
    all_trained: ClassVar[bool] = True
    optional: ClassVar[tuple[str, ...]] = ()
    offers: ClassVar[frozenset[str]] = frozenset(("trained", "maps"))

    config: dict[str, Any]
    img_size: tuple[int, int]
    width: int
    widths: tuple[int, ...]
    strides: tuple[int, ...]
    norm: nn.Module | None
    grid: tuple[int, int]
    patch_size: int
    preprocessing: Preprocessing | None

    def __init__(self) -> None:
        super().__init__()
        self.norm = None
        self.preprocessing = None

    def forward(self, images: Tensor) -> Tensor:
        """Features of images (N, C, H, W) float, normalised, before any pooling."""
        raise NotImplementedError

    def pooled(
        self,
        images: Tensor,
        pool: str = "avg",
        norm_last: bool = False,
        layer: int | None = None,
    ) -> Tensor:
        """One vector for each of the images (N, C, H, W): (N, `pooled_width(pool, layer)`).

        This one is the mean of a layer's map; a family's own has that of the last one, too.

        Args:
            images: float, normalised.
            pool: how, at least 'avg' and 'own', as who published the architecture does it.
            norm_last: whether `norm`, where there is one, comes after the pooling, not before.
            layer: after which of the layers of :attr:`widths`; the last without it.
        """
        if layer is None:
            raise NotImplementedError
        return self.feature_maps(images, [layer])[0].mean(dim=(2, 3))

    def pooled_layers(self, images: Tensor, pool: str = "avg") -> list[Tensor]:
        """What :meth:`pooled` gives of each layer; a family may find all of them in one pass."""
        return [self.pooled(images, pool, layer=number) for number in range(len(self.widths))]

    def pooled_width(self, pool: str, layer: int | None = None) -> int:
        """Channels of :meth:`pooled`. Raises UserError for no pooling or layer of the family."""
        if pool not in ("avg", "own"):
            raise UserError(
                f"pool='{pool}': encoders of the family '{self.family}' take 'avg' and 'own'"
            )
        return self.width if layer is None else self.widths[self.checked_layer(layer)]

    def checked_layer(self, layer: int) -> int:
        """The number of a layer. Raises UserError if the encoder has none of that number."""
        depth = len(self.widths)
        if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < depth:
            raise UserError(
                f"layer={layer!r}: the encoder has layers 0 to {depth - 1}: expected the number of "
                "one, or None for the last"
            )
        return layer

    def feature_maps(self, images: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Maps (N, widths[i], H / strides[i], W / strides[i]) after each layer i in `layers`.

        Args:
            images: (N, C, H, W) float, normalised; sides are multiples of the largest stride.
            layers: from 0 to len(widths) - 1, rising.
        """
        raise NotImplementedError

    def last_map(self, images: Tensor) -> Tensor:
        """The last layer's map, after the final norm where that fits it.

        Args:
            images: as for :meth:`feature_maps`.

        Returns:
            (N, widths[-1], H / strides[-1], W / strides[-1]).
        """
        return self.feature_maps(images, [len(self.widths) - 1])[0]

    def parts(self) -> list[Part]:
        """All modules and parameters once, by depth: what embeds, the blocks, what follows them.

        Layer-wise decay has a rate for each part; partial fine-tuning trains the last ones;
        sharding takes each block by itself.
        """
        raise NotImplementedError

    def half_block(self) -> Part:
        """What of the last block is trained as half of it, where the family offers that."""
        raise NotImplementedError

    def class_attention(self, images: Tensor) -> Tensor:
        """What the class token takes from each patch, (N, heads, h, w), where there is one."""
        raise NotImplementedError

    def no_weight_decay(self) -> set[str]:
        """Names of parameters of two dimensions and more that weight decay spares."""
        return set()

    def bound(self, resample_patches: bool = False) -> dict[str, Any]:
        """The fields of `config` that stored weights must agree with."""
        fields = {**dict.fromkeys(self.optional), **self.config}
        return {k: v for k, v in fields.items() if k not in ("img_size", "in_chans")}

    def fit(
        self, state: dict[str, Tensor], about: dict[str, Any], resample_patches: bool = False
    ) -> list[str]:
        """Fit weights that were made for other images to this encoder, in place.

        Args:
            state: by our names, `encoder.*` the encoder's own.
            about: what their file says of them.
            resample_patches: whether patches of another size may be resampled.

        Returns:
            The keys of what was changed.

        Raises:
            UserError: if it is not known how they fit.
        """
        return []

    def metadata(self) -> dict[str, Any]:
        """What a file with its weights says of it: enough to build it again."""
        return {"family": self.family, "encoder": self.config}

    def block_modules(self) -> list[nn.Module]:
        """The modules of all parts between the first and the last."""
        inner = self.parts()[1:-1]
        return [module for part in inner for module in part if isinstance(module, nn.Module)]

    def require(self, offer: str, who: str) -> None:
        """Raise UserError unless the family offers what `who` needs, a name of OFFERS."""
        if offer not in self.offers:
            raise UserError(
                f"{who} needs an encoder that {OFFERS[offer]}; one of the family '{self.family}' "
                "is none: take another `encoder.arch`, such as vit-base-p16, or leave this out"
            )


def sees_batches(model: nn.Module) -> bool:
    """Whether training gives an image other features in another batch.

    So it is with batch norms, and with dropout whose draws belong to no image.
    """
    parts = list(model.modules())
    normed = any(isinstance(part, _BatchNorm) for part in parts)
    return normed or any(isinstance(part, _DropoutNd) and part.p > 0 for part in parts)


def part_parameters(part: Part) -> list[nn.Parameter]:
    """All parameters of a part."""
    found = []
    for one in part:
        found += [one] if isinstance(one, nn.Parameter) else list(one.parameters())
    return found


def layer_ids(encoder: Encoder) -> dict[nn.Parameter, int]:
    """The number of the part that each of an encoder's parameters is in.

    Raises:
        ValueError: if one is in none, or in two: the family's `parts` is at fault.
    """
    found: dict[nn.Parameter, int] = {}
    for number, part in enumerate(encoder.parts()):
        for parameter in part_parameters(part):
            if found.setdefault(parameter, number) != number:
                raise ValueError(f"{type(encoder).__name__}.parts() has a parameter twice")
    missing = [name for name, p in encoder.named_parameters() if p not in found]
    if missing:
        raise ValueError(f"{type(encoder).__name__}.parts() lacks {', '.join(missing[:5])}")
    return found


def to_pair(size: int | Sequence[int]) -> tuple[int, int]:
    """One number or (H, W) -> (H, W). Raises UserError for anything else."""
    pair = (size, size) if isinstance(size, int) else size
    whole = isinstance(pair, Sequence) and all(isinstance(side, int) for side in pair)
    if not whole or isinstance(size, bool | str) or len(pair) != 2:
        raise UserError(f"img_size={size!r}: expected one whole number, or height and width")
    return pair[0], pair[1]

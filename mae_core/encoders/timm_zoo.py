"""The family 'timm': any image model of timm, by one adapter."""

import fnmatch
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mae_core.drop_path import replace_paths
from mae_core.encoders.base import Encoder, Part, to_pair
from mae_core.encoders.registry import register_encoder
from mae_core.encoders.timm_build import (
    build_model,
    fault_of,
    preprocessing_of,
    published,
    strides_of,
)
from mae_core.encoders.timm_fit import fit_input, fit_size
from mae_core.encoders.timm_options import checked_options
from mae_core.encoders.timm_parts import depth_parts
from mae_core.errors import UserError
from mae_core.fitting import rgb_places

# Models as built, and sizes of images that go through them: a stage builds one several times.
FITTING: set[tuple[object, ...]] = set()
PREFIX = "encoder.model."  # of its weights, as `fit` is given them
UNNORMED = ("Hiera", "HieraDet")  # their `forward_intermediates` takes no `norm`


@register_encoder("timm", {})
class TimmEncoder(Encoder):
    """A model of timm without its classifier; its weights have timm's names below `model.`.

    Poolings: 'avg' is the mean over places, or over patch tokens, of what timm's
    `forward_features` gives. Where the model's final norm comes after its own pooling (ConvNeXt;
    ViTs that average, such as EVA-02) it is not in 'avg' but in 'own': timm's
    `forward_head(pre_logits=True)`, all that comes before the classifier, such as the attention
    pooling of SigLIP or the last convolution of MobileNet. Models with a class token also have
    'cls', 'cls+avg' (one after the other) and 'last<n>', see :meth:`pooled`.

    Args:
        model: timm's name of the architecture, such as 'convnextv2_atto', and, after a point, of
            its published weights, whose preprocessing counts.
        img_size: pixels, one number or (H, W); the architecture's own without it.
        in_chans: input channels.
        drop_path: stochastic depth, growing linearly from 0.
        rgb_bands: see :class:`mae_core.encoders.vit.ViTEncoder`.
        options: other arguments of timm's class of the model in place of those that the name
            stands for, such as `depths` and `dims` of a ConvNeXt; numbers, texts, and lists of
            them. Published weights do not fit a model with options.

    Attributes:
        model: timm's.
        pools: the poolings that this model has.
        class_token: whether it has one.
        layer_tokens: whether timm also gives it after each block.

    Raises:
        UserError: if timm has no such model, or it cannot be built so.
    """

    all_trained = False
    optional = ("options",)

    def __init__(
        self,
        model: str,
        img_size: int | Sequence[int] | None = None,
        in_chans: int = 3,
        drop_path: float = 0.0,
        options: Mapping[str, Any] | None = None,
        rgb_bands: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        cfg = published(model)
        own = to_pair(cfg.input_size[-2:])
        self.img_size = own if img_size is None else to_pair(img_size)
        self.config = {"model": model, "img_size": list(self.img_size), "in_chans": in_chans}
        if options:
            self.config["options"] = checked_options(model, options)
        self.rgb_places = rgb_places(rgb_bands, in_chans)
        own_options = self.config.get("options", {})
        self.model = build_model(model, self.img_size, in_chans, drop_path, own_options)
        replace_paths(self.model)
        self.width = self.model.num_features
        self.widths = tuple(one["num_chs"] for one in self.model.feature_info)
        self.strides = strides_of(self.model)
        self.preprocessing = preprocessing_of(cfg)
        self.class_token = getattr(self.model, "cls_token", None) is not None
        taken = inspect.signature(self.model.forward_intermediates).parameters
        self.layer_tokens = self.class_token and "return_prefix_tokens" in taken
        tokens = ("cls", "cls+avg") if self.class_token else ()
        self.pools = ("avg", "own", *tokens, *(("last<n>",) if self.layer_tokens else ()))
        if self.img_size != own:
            self.check_size(self.img_size)

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise UserError unless images of this height and width go through the model."""
        case = (*map(str, self.config.values()), size)
        fault = "" if case in FITTING else fault_of(self.model, size)
        if fault == "":
            FITTING.add(case)
        elif fault is not None:
            own = published(self.config["model"]).input_size[-2:]
            raise UserError(
                f"img_size={list(size)}: images of this size do not go through timm's "
                f"{self.config['model']} as built for {list(self.img_size)} ({fault}). Its own "
                f"size is {list(own)}; of others try multiples of {max(self.strides)}"
            )

    def forward(self, images: Tensor) -> Tensor:
        """As timm's `forward_features`: tokens (N, T, width), or maps in the model's own order."""
        found: Tensor = self.model.forward_features(images)
        return found

    def pooled(
        self,
        images: Tensor,
        pool: str = "avg",
        norm_last: bool = False,
        layer: int | None = None,
    ) -> Tensor:
        """One vector for each of the images (N, C, H, W): (N, `pooled_width(pool, layer)`).

        Args:
            images: float, normalised.
            pool: of :attr:`pools`; such as 'last4' gives the class tokens of the last four blocks,
                the last one at the end, then the mean of the last one's patches.
            norm_last: nothing here.
            layer: after which block or stage; its features come after the model's final norm if
                that has their width. Without it they are those of `forward_features`, which some
                models have go through a last convolution.

        Raises:
            UserError: for a pooling that the model has not, or not at that layer.
        """
        blocks = self.last_blocks(pool, layer)
        if pool == "own":
            found: Tensor = self.model.forward_head(self(images), pre_logits=True)
            return found
        if layer is None and not blocks:
            features = self(images)
            average, token = self.average(features, images), features[:, 0]
        else:
            end = len(self.widths) - 1 if layer is None else layer
            first = end - max(blocks, 1) + 1
            maps, tokens = self.normed_layers(images, list(range(first, end + 1)))
            average = maps[-1].mean(dim=(2, 3))
            token = torch.cat(tokens, dim=1) if tokens else average
        if pool == "avg":
            return average
        return token if pool == "cls" else torch.cat([token, average], dim=1)

    def pooled_layers(self, images: Tensor, pool: str = "avg") -> list[Tensor]:
        """See :meth:`Encoder.pooled_layers`."""
        if pool != "avg":
            return super().pooled_layers(images, pool)
        maps, _ = self.normed_layers(images, list(range(len(self.widths))))
        return [one.mean(dim=(2, 3)) for one in maps]

    def pooled_width(self, pool: str, layer: int | None = None) -> int:
        """Channels of :meth:`pooled`. Raises UserError as that does."""
        blocks = self.last_blocks(pool, layer)
        if pool == "own":
            return int(self.model.head_hidden_size)
        width = self.width if layer is None else self.widths[layer]
        return width * {"avg": 1, "cls": 1, "cls+avg": 2}.get(pool, blocks + 1)

    def last_blocks(self, pool: str, layer: int | None) -> int:
        """How many blocks a pooling takes: 4 for 'last4', else 0. Raises UserError as `pooled`."""
        depth = len(self.widths)
        if layer is not None and not 0 <= layer < depth:
            raise UserError(
                f"layer={layer}: {self.config['model']} has the layers 0 to {depth - 1}"
            )
        if pool == "own" and layer not in (None, depth - 1):
            raise UserError(f"pool='own' is of the last layer: leave out layer={layer}")
        if pool.startswith("cls") and layer is not None and not self.layer_tokens:
            raise UserError(
                f"pool='{pool}': timm gives no class token at layer={layer}, take 'avg'"
            )
        if pool in self.pools and pool != "last<n>":
            return 0
        number = pool.removeprefix("last")
        if not self.layer_tokens or number == pool or not number.isdecimal():
            raise UserError(
                f"pool='{pool}': expected one of those that {self.config['model']} has: "
                + ", ".join(self.pools)
            )
        most = depth if layer is None else layer + 1
        if not 1 <= int(number) <= most:
            raise UserError(f"pool='{pool}': there are {most} blocks")
        return int(number)

    def average(self, features: Tensor, images: Tensor) -> Tensor:
        """The mean over the places of what :meth:`forward` gave of images: (N, width)."""
        if features.ndim == 4:
            nhwc = getattr(self.model, "output_fmt", "NCHW") == "NHWC"
            return features.mean(dim=(1, 2) if nhwc else (2, 3))
        places = 1
        for side in images.shape[2:]:
            places *= -(-side // self.strides[-1])
        # Class tokens and registers come first; not all models say how many.
        before = getattr(self.model, "num_prefix_tokens", features.shape[1] - places)
        return features[:, before:].mean(dim=1)

    def normed_layers(self, images: Tensor, layers: list[int]) -> tuple[list[Tensor], list[Tensor]]:
        """Maps after some layers, after the final norm where it fits, and their class tokens."""
        options: dict[str, Any] = {"return_prefix_tokens": True} if self.layer_tokens else {}
        found = self.model.forward_intermediates(
            images,
            indices=layers,
            norm=type(self.model).__name__ not in UNNORMED,
            output_fmt="NCHW",
            intermediates_only=True,
            stop_early=True,
            **options,
        )
        if not self.layer_tokens:
            return found, []
        return [spatial for spatial, _ in found], [prefix[:, 0] for _, prefix in found]

    def feature_maps(self, images: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Maps as timm's `forward_intermediates` gives them, without the final norm.

        Returns:
            (N, widths[i], H / strides[i], W / strides[i]) for each layer i, contiguous.
        """
        found = self.model.forward_intermediates(
            images,
            indices=list(layers),
            intermediates_only=True,
            output_fmt="NCHW",
            stop_early=True,
        )
        return [one.contiguous() for one in found]

    def last_map(self, images: Tensor) -> Tensor:
        """See :meth:`Encoder.last_map`: with the norm that most of timm's models end in."""
        maps, _ = self.normed_layers(images, [len(self.widths) - 1])
        return maps[0].contiguous()

    def parts(self) -> list[Part]:
        """timm's groups for layer-wise decay; of some models the last, the classifier's, is empty.

        The final norm is of the group of the last block in most.
        """
        return depth_parts(self.model)

    def block_modules(self) -> list[nn.Module]:
        """Modules of all parts but the last; a stem too has batch norms that rest when frozen."""
        blocks = self.parts()[:-1]
        return [module for part in blocks for module in part if isinstance(module, nn.Module)]

    def no_weight_decay(self) -> set[str]:
        """What timm's `no_weight_decay` names."""
        patterns = self.model.no_weight_decay() if hasattr(self.model, "no_weight_decay") else ()
        return {
            f"model.{name}"
            for name, _ in self.model.named_parameters()
            if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
        }

    def fit(
        self, state: dict[str, Tensor], about: dict[str, Any], resample_patches: bool = False
    ) -> list[str]:
        """Positions and tables of them to the image size, the first convolution to the channels."""
        said = about.get("encoder") or {}
        channels = said.get("in_chans") or published(self.config["model"]).input_size[0]
        weights = {
            key.removeprefix(PREFIX): value
            for key, value in state.items()
            if key.startswith(PREFIX)
        }
        changed = fit_input(self.model, weights, channels, self.rgb_places)
        changed += fit_size(self.model, weights, said.get("img_size"))
        for key in changed:
            state[PREFIX + key] = weights[key]
        return [PREFIX + key for key in changed]

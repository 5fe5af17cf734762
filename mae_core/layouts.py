"""State dicts of other projects in our names, and back.

Our names are `encoder.*` (timm's names below it), `decoder.*`, and for classifiers `head.*` and
`fc_norm.*` (a norm after average pooling). A layout is a table of their names for ours.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mae_core.errors import UserError

StateDict = dict[str, Tensor]

BLOCKS = ("encoder.blocks", "decoder.blocks")
BLOCK = re.compile(r"(\d+)\.(.+)\.(weight|bias)")


@dataclass(frozen=True)
class Layout:
    """Names of one project.

    Attributes:
        stems: beginning of a key in our names -> in theirs.
        parts: what stands between a block's number and 'weight' or 'bias', ours -> theirs, where
            the names differ.
        qkv: three names where they keep query, key and value apart, as parts of a block.
        wrapper: key under which a .pth file holds the state dict, '' for none.
        spellings: pieces of a key that they also write in another way, other -> usual.
        base: what a key begins with that they leave out where the encoder is saved alone.
        alone: beginnings of keys that tell such a file.
    """

    stems: Mapping[str, str]
    parts: Mapping[str, str]
    qkv: tuple[str, ...] = ()
    wrapper: str = ""
    spellings: Mapping[str, str] = field(default_factory=dict)
    base: str = ""
    alone: tuple[str, ...] = ()

    def theirs(self, key: str) -> str | None:
        """Our key in their names; None if they have no place for it."""
        return _rename(key, self.stems, self.parts)

    def ours(self, key: str) -> str | None:
        """Their key in our names; None if it is not of this layout."""
        stems = {theirs: ours for ours, theirs in self.stems.items()}
        parts = {theirs: ours for ours, theirs in self.parts.items()}
        return _rename(self.usual(key), stems, parts)

    def usual(self, key: str) -> str:
        """Their key in their usual spelling."""
        if self.alone and key.startswith(self.alone):
            key = self.base + key
        for other, usual in self.spellings.items():
            key = key.replace(other, usual)
        return key


def _rename(key: str, stems: Mapping[str, str], parts: Mapping[str, str]) -> str | None:
    for stem, new in stems.items():
        if key != stem and not key.startswith(f"{stem}."):
            continue
        rest = key[len(stem) + 1 :]
        if stem not in BLOCKS and new not in BLOCKS:
            return f"{new}.{rest}" if rest else new
        block = BLOCK.fullmatch(rest)
        if block:
            return f"{new}.{block[1]}.{parts.get(block[2], block[2])}.{block[3]}"
    return None


ENCODER = ("cls_token", "pos_embed", "patch_embed.proj", "blocks", "norm")
DECODER = ("embed", "mask_token", "pos_embed", "blocks", "norm", "pred")
CLASSIFIER = ("head", "fc_norm")
_BARE = {f"encoder.{name}": name for name in ENCODER} | {name: name for name in CLASSIFIER}
_OWN = [f"encoder.{n}" for n in ENCODER] + [f"decoder.{n}" for n in DECODER] + [*CLASSIFIER]

LAYOUTS = {
    # mae-bench's own files.
    "native": Layout({name: name for name in _OWN}, {}),
    # facebookresearch/mae: mae_pretrain_vit_*, mae_visualize_vit_*, mae_finetuned_vit_*.
    "mae": Layout(
        _BARE
        | {f"decoder.{n}": f"decoder_{n}" for n in DECODER if n != "mask_token"}
        | {"decoder.mask_token": "mask_token"},
        {},
        wrapper="model",
    ),
    "timm": Layout(_BARE, {}),
    # transformers' ViTMAE, as published. Version 5 has other names in its modules, and a slip in
    # the files that it writes.
    "hf": Layout(
        {
            "encoder.cls_token": "vit.embeddings.cls_token",
            "encoder.pos_embed": "vit.embeddings.position_embeddings",
            "encoder.patch_embed.proj": "vit.embeddings.patch_embeddings.projection",
            "encoder.blocks": "vit.encoder.layer",
            "encoder.norm": "vit.layernorm",
            "decoder.embed": "decoder.decoder_embed",
            "decoder.mask_token": "decoder.mask_token",
            "decoder.pos_embed": "decoder.decoder_pos_embed",
            "decoder.blocks": "decoder.decoder_layers",
            "decoder.norm": "decoder.decoder_norm",
            "decoder.pred": "decoder.decoder_pred",
            "head": "classifier",
        },
        {
            "norm1": "layernorm_before",
            "norm2": "layernorm_after",
            "attn.qkv": "attention.attention.qkv",
            "attn.proj": "attention.output.dense",
            "mlp.fc1": "intermediate.dense",
            "mlp.fc2": "output.dense",
        },
        qkv=("query", "key", "value"),
        spellings={
            "decoder.decoder_encoder.layer.": "decoder.decoder_layers.",
            "vit.layers.": "vit.encoder.layer.",
            ".attention.q_proj.": ".attention.attention.query.",
            ".attention.k_proj.": ".attention.attention.key.",
            ".attention.v_proj.": ".attention.attention.value.",
            ".attention.o_proj.": ".attention.output.dense.",
            ".mlp.fc1.": ".intermediate.dense.",
            ".mlp.fc2.": ".output.dense.",
        },
        base="vit.",
        alone=("embeddings.", "encoder.layer.", "layers.", "layernorm.", "pooler."),
    ),
    # mmpretrain's MAE and, with head.fc, its ImageClassifier.
    "mmpretrain": Layout(
        {
            "encoder.cls_token": "backbone.cls_token",
            "encoder.pos_embed": "backbone.pos_embed",
            "encoder.patch_embed.proj": "backbone.patch_embed.projection",
            "encoder.blocks": "backbone.layers",
            "encoder.norm": "backbone.ln1",
            "decoder.embed": "neck.decoder_embed",
            "decoder.mask_token": "neck.mask_token",
            "decoder.pos_embed": "neck.decoder_pos_embed",
            "decoder.blocks": "neck.decoder_blocks",
            "decoder.norm": "neck.ln1",
            "decoder.pred": "neck.decoder_pred",
            "head": "head.fc",
            "fc_norm": "backbone.ln2",
        },
        {
            "norm1": "ln1",
            "norm2": "ln2",
            "mlp.fc1": "ffn.layers.0.0",
            "mlp.fc2": "ffn.layers.1",
        },
        wrapper="state_dict",
        base="backbone.",
        alone=("cls_token", "pos_embed", "patch_embed.projection.", "layers.", "ln1."),
    ),
}


def detect(keys: Iterable[str], there: str = "") -> str:
    """The layout that knows most of `keys`; of several the first in :data:`LAYOUTS`.

    Args:
        keys: of a state dict.
        there: what the file holds, for the message.

    Raises:
        UserError: if none knows any.
    """
    keys = list(keys)
    known = {
        name: sum(layout.ours(key) is not None for key in keys) for name, layout in LAYOUTS.items()
    }
    best = max(known, key=known.__getitem__)
    if not known[best]:
        raise UserError(
            f"no weights of a ViT: the first keys are {', '.join(sorted(keys)[:3]) or 'none'}"
            f"{there and f', in all {there}'}; known layouts are {', '.join(LAYOUTS)}; "
            "weights of another architecture are timm:<model>@<file>"
        )
    return best


def count_encoder(keys: Iterable[str]) -> int:
    """How many of `keys` are an encoder's in the layout that knows most; 0 without an embedding."""
    keys = list(keys)
    most = 0
    for layout in LAYOUTS.values():
        ours = [key for key in map(layout.ours, keys) if key and key.startswith("encoder.")]
        if "encoder.patch_embed.proj.weight" in ours:
            most = max(most, len(ours))
    return most


def from_layout(state: StateDict, name: str) -> StateDict:
    """Their state dict in our names; keys that are not of the layout stay as they are."""
    layout = LAYOUTS[name]
    joined = join_qkv({layout.usual(key): state[key] for key in state}, layout.qkv)
    return {layout.ours(key) or key: value for key, value in joined.items()}


def to_layout(state: StateDict, name: str) -> tuple[StateDict, list[str]]:
    """Our state dict in their names, and the keys for which they have no place."""
    layout = LAYOUTS[name]
    renamed = {key: layout.theirs(key) for key in state}
    found = {new: state[key] for key, new in renamed.items() if new is not None}
    return split_qkv(found, layout.qkv), [key for key, new in renamed.items() if new is None]


def join_qkv(state: StateDict, names: tuple[str, ...]) -> StateDict:
    """Query, key and value stacked to one tensor, where `names` are the three parts' names.

    Raises:
        UserError: if one of the three is missing.
    """
    if not names:
        return state
    part = re.compile(rf"(.+)\.({'|'.join(names)})\.(weight|bias)")
    joined = {}
    for key, value in state.items():
        match = part.fullmatch(key)
        if match is None:
            joined[key] = value
        elif match[2] == names[0]:
            three = [state.get(f"{match[1]}.{name}.{match[3]}") for name in names]
            if any(found is None for found in three):
                raise UserError(f"'{key}' without all of {', '.join(names)}")
            joined[f"{match[1]}.qkv.{match[3]}"] = torch.cat([t for t in three if t is not None])
    return joined


def split_qkv(state: StateDict, names: tuple[str, ...]) -> StateDict:
    """The inverse of :func:`join_qkv`."""
    if not names:
        return state
    split = {}
    for key, value in state.items():
        if ".qkv." not in key:
            split[key] = value
            continue
        for name, part in zip(names, value.chunk(3), strict=True):
            split[key.replace(".qkv.", f".{name}.")] = part.contiguous()
    return split

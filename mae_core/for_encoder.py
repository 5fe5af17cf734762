"""A stage's config as it counts for one encoder: what belongs to the weights, and is theirs.

That is the architecture, always; and with `protocol="own"` the pixels, size, interpolation and crop
of the images that the weights were trained on. With `protocol="same"` those are the config's for
every encoder.
"""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mae_core.agreement import BLOCK, image_sets, outline
from mae_core.data.crops import CROP_PCT, FILTERS
from mae_core.data.transform import output_size
from mae_core.encoders.base import Encoder, to_pair
from mae_core.encoders.registry import encoder_fields, named_fields
from mae_core.errors import UserError
from mae_core.names import TRIVIAL, has_file, own_arch
from mae_core.pixels import OWN, PROTOCOL, Pixels, are_numbers, same, stated_pixels, tell, told
from mae_core.reading import VIT, read_metadata
from mae_core.stage import Reporter

if TYPE_CHECKING:
    from mmengine.config import Config

AS_STORED = "as_stored"  # in an encoder's file: its `pixels` are of `bands`
ENTRY = "sets."  # begins the place of what `evaluate` says of one of its sets alone
KEEP = "protocol='same' would keep the config's"


def with_encoder(config: "Config", encoder: str, reporter: Reporter | None = None) -> "Config":
    """A stage's config as it counts for `encoder`; a second time it stays.

    `config.encoder` becomes what :func:`stated` says, where that is another architecture or has
    other sizes. With `config.protocol` 'own', which it is without that key, so do `pixels`, the
    channels of an encoder for colours, and `input_size`, `interpolation` and `crop_pct` of all sets
    of images; those of trainings keep their own interpolation and augmentation.

    Args:
        config: of a stage, without the section `scratch`; stays as it is.
        encoder: as stages take it: a name without file, or the path of a file.
        reporter: gets a note of each change.

    Raises:
        UserError: if what a file says of itself is nonsense.
    """
    return with_stated(config, encoder, stated(config, encoder), reporter)


def stated(config: "Config", encoder: str) -> dict[str, Any]:
    """What is known of an encoder, as the metadata of our files say it.

    `family`, `encoder` (its fields), `pixels`, `preprocessing`, each where it is known. Of 'random'
    and 'supervised' nothing, as they are what the config says; of an architecture by name what its
    published weights were trained on.

    Raises:
        UserError: if there is no such architecture, or a file says nonsense.
    """
    if has_file(encoder):
        about = dict(read_metadata(encoder))
        pixels = stated_pixels(encoder)
        if pixels is not None:
            about["pixels"] = pixels
        check_preprocessing(about.get("preprocessing"), encoder)
        return about
    arch = own_arch(encoder)
    if not arch:
        return {}
    fields: dict[str, Any] = {"arch": arch}
    if arch in TRIVIAL:  # they take any channels
        fields["in_chans"] = channels_of(config)
    return about_architecture(outline(fields))


def about_architecture(encoder: Encoder) -> dict[str, Any]:
    """As :func:`stated`, of an encoder that was built."""
    known = encoder.preprocessing
    return encoder.metadata() | ({} if known is None else known.metadata())


def with_stated(
    config: "Config", name: str, about: Mapping[str, Any], reporter: Reporter | None = None
) -> "Config":
    """As :func:`with_encoder`, for what is known of an encoder; `name` is for the notes."""
    used = copy.deepcopy(config)
    own = config.get(PROTOCOL, OWN) == OWN
    size = (about.get("preprocessing") or {}).get("input_size") if own else None
    if "encoder" in about:
        take_architecture(used, name, about, size, reporter)
    tell_channels(used, name, about, reporter)
    if own:
        colours = about.get("encoder", {}).get("in_chans") == 3
        if colours and channels_of(config) == 1 and not bands_are_read(config):
            take_colours(used, name, reporter)
        take_pixels(used, name, about, reporter)
        if about.get("preprocessing"):
            take_preprocessing(used, name, about["preprocessing"], reporter)
    return config if used.to_dict() == config.to_dict() else used


def tell_channels(
    config: "Config", name: str, about: Mapping[str, Any], reporter: Reporter | None
) -> None:
    """Say how weights for RGB are fitted to images of more bands."""
    channels = config.encoder.get("in_chans", 3)
    if about.get("encoder", {}).get("in_chans") != 3 or channels <= 3 or not has_file(name):
        return
    bands = config.encoder.get("rgb_bands")
    how = "repeated over them; encoder.rgb_bands would say which are red, green and blue"
    if bands is not None:
        placed = ", ".join(f"{colour}={place}" for colour, place in bands.items())
        how = f"placed at {placed}, and their mean at the others"
    tell(
        reporter, f"{name} was trained on RGB, images have {channels} bands: its kernels are {how}"
    )


def take_architecture(
    config: "Config",
    name: str,
    about: Mapping[str, Any],
    size: Sequence[int] | None,
    reporter: Reporter | None,
) -> None:
    """Put the encoder's family and sizes into `config`, where the config's are others.

    Channels of the images stay, and without `size` their size. So does what only counts in
    training, such as `drop_path`, if the family takes it.
    """
    given = config.encoder.to_dict()
    current = outline(given)
    family, stored = about.get("family", VIT), about["encoder"]
    other = differing(current, stored, config.get("resample_patches", False))
    if family == current.family and not other:
        return
    try:
        fields = named_fields(about)
        sizes = {key: given.get(key, current.config[key]) for key in ("img_size", "in_chans")}
        sizes["img_size"] = size or sizes["img_size"]  # not every one can be built for any
        training = {k: v for k, v in given.items() if k not in ("arch", *current.config)}
        taken = {k: v for k, v in training.items() if k in encoder_fields(family)}
    except UserError as error:
        raise UserError(f"encoder {name}: {error}") from error
    config.encoder = {**fields, **sizes, **taken}
    if taken and not builds(config.encoder) and builds({**fields, **sizes}):
        tell(reporter, f"{name} takes no {' and '.join(taken)}, which the config asks for")
        config.encoder = {**fields, **sizes}
    if family != current.family:
        said = f"{fields['arch']} is its architecture, in place of the config's {given['arch']}"
    else:
        sides = (f"{key}={stored.get(key)} ({current.config.get(key)})" for key in other)
        said = f"its sizes count, in place of the config's in brackets: {', '.join(sides)}"
    tell(reporter, f"{name}: {said}")
    drop_blocks(config, family == current.family, stored.get("depth", 0), reporter)


def differing(current: Encoder, stored: Mapping[str, Any], resample: bool) -> list[str]:
    """The fields, but for images and what may be resampled, that weights have otherwise."""
    free = {"img_size", "in_chans"}
    if resample:
        free |= current.bound().keys() - current.bound(True).keys()
    absent = dict.fromkeys(current.optional)
    fields, found = {**absent, **current.config}, {**absent, **stored}
    kept = (key for key in fields if key in found and key not in free)
    return [key for key in kept if found[key] != fields[key]]


def builds(fields: Mapping[str, Any]) -> bool:
    """Whether an encoder can be made of fields."""
    try:
        outline(fields)
    except UserError:
        return False
    return True


def drop_blocks(config: "Config", same: bool, depth: int, reporter: Reporter | None) -> None:
    """Take names of blocks that the encoder has not out of `activation_checkpointing`."""
    names = config.get("activation_checkpointing") or []
    kept = []
    for name in names:
        block = BLOCK.search(name)
        if not block or (same and int(block[1]) < depth):
            kept.append(name)
    if len(kept) < len(names):
        config.activation_checkpointing = kept or None
        tell(
            reporter,
            f"activation_checkpointing names blocks of the config's encoder: {len(names)} names, "
            f"of which {len(kept)} are left",
        )


def take_colours(config: "Config", name: str, reporter: Reporter | None) -> None:
    """Have the images of `config`, which are grey, read as RGB."""
    config.encoder.in_chans = 3
    config.pixels = {key: list(config.pixels[key]) * 3 for key in ("mean", "std")}
    for place, node in image_nodes(config):
        if "data" in node and not place.startswith(ENTRY):
            node["in_chans"] = 3
    tell(reporter, f"grey images are read as RGB, which {name} was trained on; {KEEP}")


def take_pixels(
    config: "Config", name: str, about: Mapping[str, Any], reporter: Reporter | None
) -> None:
    """Put the mean and deviation that an encoder was trained with into `config`.

    Not those of numbers as files hold them beside images of 8 bits, nor the other way round.
    """
    own: Pixels | None = about.get("pixels")
    given: Pixels = {key: list(config.pixels[key]) for key in ("mean", "std")}
    if own is None or same(own, given):
        return
    if bands_are_read(config):
        tell(
            reporter,
            f"{name} was trained with {told(own)}: bands that are read as they are stored are "
            f"normalised with the config's {told(given)}",
        )
        return
    if about.get(AS_STORED) or not all(0 <= mean <= 255 for mean in own["mean"]):
        tell(
            reporter,
            f"{name} was trained with {told(own)} of numbers as their files hold them: images of 0 "
            f"to 255 are normalised with the config's {told(given)}",
        )
        return
    if len(own["mean"]) != len(given["mean"]):
        tell(
            reporter,
            f"{name} was trained on other channels: images are normalised with the config's "
            f"{told(given)}",
        )
        return
    tell(
        reporter,
        f"images are normalised with {told(own)}, as those that {name} was trained on, and not "
        f"with the config's {told(given)}, which protocol='same' would keep",
    )
    config.pixels = own


def take_preprocessing(
    config: "Config", name: str, own: Mapping[str, Any], reporter: Reporter | None
) -> None:
    """Put size, interpolation and crop of the images that weights were trained on into `config`.

    What `evaluate` says of one of its sets alone stays, but for the size: it is about those files.
    Where nothing is trained, as many fewer images are looked at together as they are larger.
    """
    size, before, grown = list(own["input_size"]), copy.deepcopy(config), 1.0
    given = config.encoder.get("img_size")
    if given is None or list(to_pair(given)) != size:
        config.encoder.img_size = size
    for place, node in image_nodes(config):
        transform, entry = node.get("transform", {}), place.startswith(ENTRY)
        sized = not entry or "input_size" in transform
        if sized and list(output_size(transform)) != size:
            grown = max(grown, math.prod(size) / math.prod(output_size(transform)))
            transform["input_size"] = size
        if entry or transform.get("is_training"):
            continue
        if transform.get("interpolation", "bilinear") != own["interpolation"]:
            transform["interpolation"] = own["interpolation"]
        if (transform.get("crop_pct") or CROP_PCT) != own["crop_pct"]:
            transform["crop_pct"] = own["crop_pct"]
    for part in (config, config.get("val_dataloader") or {}):
        batch = part.get("batch_size")  # fits the memory with the recipe's images
        if grown > 1 and isinstance(batch, int):
            part["batch_size"] = max(int(batch / grown), 1)
    if config.to_dict() != before.to_dict():
        tell(
            reporter,
            f"images have {size[0]}×{size[1]} pixels, in tests {own['interpolation']} with "
            f"crop_pct={own['crop_pct']:.4g}, as those that {name} was trained on; {KEEP}",
        )


def bands_are_read(config: "Config") -> bool:
    """Whether images are read as they are stored: then `pixels` are in the units of the data."""
    sets = image_sets(config.to_dict())
    return any(fields.get("bands") is not None for _, fields in sets)


def image_nodes(config: "Config") -> Iterator[tuple[str, Any]]:
    """The places and parts of a config that describe sets of images, see :func:`image_sets`."""
    for place, _ in image_sets(config.to_dict()):
        node: Any = config._cfg_dict
        for key in place.split(".") if place else ():
            node = node[int(key)] if isinstance(node, list | tuple) else node[key]
        yield place, node


def own_preprocessing(config: "Config", encoder: str) -> dict[str, Any]:
    """`preprocessing` for the metadata of what is trained from `encoder` with `config`.

    Without it where that is the config's own: then its sizes are those of whatever tests it. With
    `as_stored` where images are read by `bands`: then `pixels` are in the units of their files.
    """
    about = stated(config, encoder) if config.get(PROTOCOL, OWN) == OWN else {}
    known = about.get("preprocessing")
    found = {AS_STORED: True} if bands_are_read(config) else {}
    return found | ({"preprocessing": known} if known else {})


def check_preprocessing(own: Any, path: str) -> None:
    """Raise UserError unless what a file says of its images can be used; None says nothing."""
    if own is None:
        return
    fields = own if isinstance(own, dict) else {}
    size, crop = fields.get("input_size"), [fields.get("crop_pct")]
    sides = size if isinstance(size, list) and len(size) == 2 else [None]
    whole = all(type(side) is int and side > 0 for side in sides)
    known = fields.get("interpolation") in FILTERS and are_numbers(crop) and 0 < crop[0] <= 1
    if not whole or not known:
        raise UserError(
            f"{path} says it was trained with preprocessing={own!r}: expected input_size, two "
            f"whole numbers, interpolation, {' or '.join(FILTERS)}, and crop_pct, above 0 to 1"
        )


def channels_of(config: "Config") -> int:
    """Channels of the images of a config."""
    found: int = outline(config.encoder.to_dict()).config["in_chans"]
    return found

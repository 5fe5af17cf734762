"""What should be known of a conversion, though nothing was changed."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping

from downstream.dense.coco import Coco
from downstream.dense.convert.found import Annotated, Found
from downstream.dense.convert.pictures import Pictures
from downstream.dense.entries import Entry
from downstream.dense.values import plain, told
from mae_core.notices import counted


def size_note(annotated: Annotated, image: Entry) -> str:
    """That an image is of another size than its annotations state."""
    height, width = annotated.size or (0, 0)
    shown = image["height"], image["width"]
    turned = ", as it is shown, turned by its EXIF data" if shown == (width, height) else ""
    return (
        f"{plain(annotated.file)} states {width}×{height} pixels, {told(image['file_name'])} has "
        f"{shown[1]}×{shown[0]}{turned}; numbers were taken as pixels of the latter"
    )


def notes_on(
    found: Found, content: Coco, by_image: Mapping[str, Annotated], pictures: Pictures
) -> Iterator[str]:
    """What to say of a source and what was taken of it, one line each."""
    yield from found.notes
    yield from found_by_name(by_image)
    unlisted = len(pictures.names) - len(by_image)
    if unlisted and found.lists_images:
        folder = plain(str(pictures.folder))
        yield f"{unlisted:,} other image(s) in {folder} are not taken: they are not listed"
    elif unlisted:
        yield (
            f"{unlisted:,} image(s) have no annotations and are taken as images without objects: "
            "if they were not looked at yet, take them out"
        )
    kept = +found.kept
    if crowds := kept.pop("difficult", 0):
        yield (
            f"{crowds:,} object(s) are marked as difficult: they are crowds now, which are neither "
            "learnt nor counted as missed"
        )
    if kept:
        yield f"taken as any other object, though marked: {counted(kept)}"
    masks = sum("segmentation" in entry for entry in content.annotations)
    boxes = len(content.annotations) - masks
    if masks and boxes:
        yield (
            f"{masks:,} object(s) have polygons or masks, {boxes:,} a box alone, which detect "
            "refuses in one file: convert again with --boxes for boxes of all"
        )
    yield from on_classes(content)


def found_by_name(by_image: Mapping[str, Annotated]) -> Iterator[str]:
    """That images are in other folders, or have other names, than the annotations say."""
    odd = [
        f"{plain(annotated.file)} of {told(name)}"
        for name, annotated in by_image.items()
        if not any(ends_in(name, call) for call in (annotated.path, annotated.stem) if call)
    ]
    if odd:
        yield f"{len(odd):,} image(s) were found by name alone: such as {odd[0]}"
    other = [
        f"{plain(annotated.file)}, which says {told(annotated.path)}"
        for name, annotated in by_image.items()
        if annotated.path and os.path.basename(annotated.path) != os.path.basename(name)
    ]
    if other:
        yield f"{len(other):,} image(s) were found by the annotations' file: such as {other[0]}"


def ends_in(name: str, call: str) -> bool:
    """Whether an image's folders are, or end in, those of what it is called."""
    return f"/{os.path.dirname(name)}".endswith(f"/{os.path.dirname(call)}".rstrip("/"))


def on_classes(content: Coco) -> Iterator[str]:
    """Classes without an object, and those that are perhaps one."""
    used = Counter(entry["category_id"] for entry in content.annotations)
    if missing := [name for key, name in content.categories.items() if key not in used]:
        yield f"no object of the class(es) {told(missing)}"
    alike: dict[str, list[str]] = {}
    for name in content.names:
        alike.setdefault(" ".join(name.casefold().split()), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            yield f"classes that differ in capitals or blanks alone: {told(names)}"

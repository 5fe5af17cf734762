"""From what a reader found to a COCO JSON, with an account of all that is not as it was."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from downstream.dense.coco import FEW, Coco, numbered
from downstream.dense.convert.coco import categories_of, read_coco_file
from downstream.dense.convert.cvat import read_cvat
from downstream.dense.convert.found import Annotated, Broken, Found, Object, numbered_from_1
from downstream.dense.convert.labelme import read_labelme
from downstream.dense.convert.mend import Dropped, entry_of
from downstream.dense.convert.notes import notes_on, size_note
from downstream.dense.convert.pictures import Pictures
from downstream.dense.convert.voc import read_voc
from downstream.dense.convert.yolo import read_yolo
from downstream.dense.entries import Entry
from downstream.dense.values import is_name, plain, told
from mae_core.data.decode import Size
from mae_core.errors import UserError, suggest
from mae_core.files import write_json

FORMATS = ("coco", "cvat", "labelme", "voc", "yolo")
OF_JSON = ("coco", "labelme")  # formats whose files are JSON, as what is written


@dataclass(frozen=True)
class Job:
    """What to convert, and how.

    Attributes:
        source: a folder or a file of annotations.
        kind: one of `FORMATS`.
        images: the folder that the images are below.
        classes: names by id, in place of all that are found; None for these.
        boxes: whether boxes alone are wanted: of a mask the one around it.
        zero_based: see :func:`read_voc`.
    """

    source: Path
    kind: str
    images: Path
    classes: dict[int, str] | None = None
    boxes: bool = False
    zero_based: bool = False


@dataclass
class Converted:
    """What came of it.

    Attributes:
        content: of the COCO file.
        empty: images without objects.
        mended: what was changed in an object and why, one line each.
        dropped: which objects are not there and why, a line each, or one for a missing image.
        lost: how many these are.
        sizes: images of another size than their annotations state, one line each.
        left_out: what has no place among boxes and polygons, by kind.
        notes: what else should be known.
    """

    content: Coco
    empty: int = 0
    mended: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    lost: int = 0
    sizes: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def parse_classes(text: str) -> dict[int, str]:
    """Names by id: of 'a,b,c' from 1 on, or those of a COCO JSON.

    Raises:
        UserError: if it is neither, or a name is empty or occurs twice.
    """
    if text.endswith(".json"):
        return categories_of(Path(text).expanduser())
    names = [name.strip() for name in text.split(",")]
    if not all(map(is_name, names)) or len({*names}) < len(names):
        raise UserError(f"--classes {plain(text)}: expected different names a,b,c or a COCO JSON")
    return numbered_from_1(names)


def convert(job: Job, out: Path) -> Converted:
    """Read a source's annotations and write them as COCO JSON.

    Args:
        job: what to read.
        out: the JSON, replaced if it is there.

    Raises:
        UserError: if something cannot be read, which is named, or nothing is left.
    """
    check_out(job, out)
    found = read(job)
    pictures = Pictures(job.images)
    done = Converted(Coco([], [], job.classes or found.categories), left_out=+found.left_out)
    done.dropped += found.dropped
    by_image = of_images(found, pictures, done)
    names = [*by_image] if found.lists_images else pictures.names
    sizes, unreadable = pictures.sizes(names)
    refuse_broken([*found.broken, *unreadable], job.source)
    done.lost += len(found.dropped)
    for key, (name, size) in enumerate(zip(names, sizes, strict=True), start=1):
        image = {"id": key, "file_name": name, "height": size[0], "width": size[1]}
        done.content.images.append(image)
        if name in by_image:
            add(by_image[name], image, job.boxes, done)
    if not done.content.annotations:
        first = "".join(f"\n  {line}" for line in done.dropped[:FEW])
        raise UserError(
            f"no object of {plain(str(job.source))} is left for a COCO JSON with the images in "
            f"{plain(str(job.images))}: {done.lost:,} dropped, left out "
            f"{sum(done.left_out.values()):,}{first}"
        )
    done.content.annotations[:] = numbered(done.content.annotations)
    done.empty = len(names) - len({entry["image_id"] for entry in done.content.annotations})
    done.notes += notes_on(found, done.content, by_image, pictures)
    write_json(out, done.content.as_json())
    return done


def check_out(job: Job, out: Path) -> None:
    """Raise UserError unless `out` may become a JSON that is no part of the source."""
    if job.kind not in FORMATS:
        raise UserError(f"--from {plain(job.kind)} is unknown{suggest(job.kind, FORMATS)}")
    if job.zero_based and job.kind != "voc":
        raise UserError(f"--zero-based is for --from voc, {job.kind} has no other way to count")
    if out.suffix != ".json" or out.is_dir() or not out.absolute().parent.is_dir():
        raise UserError(f"{plain(str(out))}: expected a file .json in a folder that exists")
    source, target = job.source.resolve(), out.resolve()
    if job.kind in OF_JSON and (target == source or source in target.parents):
        raise UserError(
            f"{plain(str(out))} would be a part of {plain(str(job.source))}, which is read: "
            "write to another place"
        )


def read(job: Job) -> Found:
    """What the source holds. Raises UserError if it is not there or holds nothing of the kind."""
    if job.kind == "voc":
        return read_voc(job.source, job.zero_based)
    if job.kind == "yolo":
        return read_yolo(job.source, [*(job.classes or {}).values()])
    if job.kind == "labelme":
        return read_labelme(job.source)
    if job.kind == "cvat":
        return read_cvat(job.source)
    return read_coco_file(job.source)


def of_images(found: Found, pictures: Pictures, done: Converted) -> dict[str, Annotated]:
    """What is said of each image, by its path; without image it is dropped.

    What may be of several images, or is a second one of its image, is added to the broken.
    """
    by_image: dict[str, Annotated] = {}
    for annotated in found.annotated:
        with found.noting(annotated.file):
            name = pictures.find(annotated)
            if name is None:
                missing = f"no image {annotated.called} in {plain(str(pictures.folder))}"
                count = len(annotated.objects)
                done.dropped.append(f"{plain(annotated.file)}: {count:,} object(s), {missing}")
                done.lost += count
            elif name in by_image:
                raise Broken(f"and {plain(by_image[name].file)} are both of the image {told(name)}")
            else:
                by_image[name] = annotated
    return by_image


def refuse_broken(faults: Sequence[str], source: Path) -> None:
    """Raise UserError if anything cannot be read, naming the first few."""
    if faults:
        first = "".join(f"\n  {fault}" for fault in faults[:FEW])
        raise UserError(
            f"{len(faults):,} fault(s) in {plain(str(source))} and its images, nothing was "
            f"written:{first}\nmend or remove them"
        )


def add(annotated: Annotated, image: Entry, boxes: bool, done: Converted) -> None:
    """Add an image's objects to the content, and what became of them to the account."""
    size = image["height"], image["width"]
    ids = {name: key for key, name in done.content.categories.items()}
    if annotated.size and annotated.size != size:
        done.sizes.append(size_note(annotated, image))
    for thing in annotated.objects:
        about = f"{plain(annotated.file)}: {thing.where}" + (
            f" {told(thing.label)}" * bool(thing.label)
        )
        try:
            if thing.label not in ids:
                raise Dropped("its class is none of those that are taken")
            if annotated.relative:
                scale(thing, size)
            entry = entry_of(thing, image, ids[thing.label], boxes)
        except Dropped as error:
            done.dropped.append(f"{about}: {error}")
            done.lost += 1
            continue
        done.content.annotations.append(entry)
        if thing.mended:
            done.mended.append(f"{about}: {'; '.join(thing.mended)}")


def scale(thing: Object, size: Size) -> None:
    """Turn shares of an image's sides into pixels."""
    height, width = size
    if thing.box:
        thing.box = [side * (height if axis % 2 else width) for axis, side in enumerate(thing.box)]
    for part in thing.mask or ():
        part[::2] = [x * width for x in part[::2]]
        part[1::2] = [y * height for y in part[1::2]]

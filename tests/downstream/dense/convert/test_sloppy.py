"""Whatever a file holds: one clear message, or a COCO file that detect takes."""

import random
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from downstream.dense.coco import parse_coco
from mae_core.errors import UserError
from tests.downstream.dense.coco_files import broken_files
from tests.downstream.dense.coco_files import write_images as write_others
from tests.downstream.dense.convert.sources import (
    WRITERS,
    Json,
    content_of,
    converted,
    write_images,
)

ODD = ["nan", "inf", "-inf", "1e400", "1e308", "-5", "0", "", "1e15", "9" * 5000, "x", "0x10"]
ODD += ["1_0", "٣", "null", "[]", "{}", "<", '"', "\0", "<a>", "&amp;", "]]>", "\u2028", "1000"]


def polygon_content(masked: bool) -> Json:
    boxes = [("a.png", "cat", [2, 3, 10, 12]), ("sub/c.png", "dog", [0, 0, 16, 64])]
    content = content_of([*boxes, ("a.png", "dog", [20, 3, 15, 20])])
    for entry in content["annotations"]:
        left, top, wide, high = entry["bbox"]
        if masked:
            right, bottom = left + wide, top + high
            entry["segmentation"] = [[left, top, right, top, right, bottom, left, bottom]]
    return content


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_images(home / "images")
    write_others(home / "others")
    for kind, write in WRITERS.items():
        for masked in (False, True)[: 1 if kind == "voc" else 2]:
            write(polygon_content(masked), home / f"{kind}-{masked}")
    return home


def is_taken(kind: str, source: Path, images: Path, out: Path) -> bool:
    """Whether it is converted; if so the outcome is without faults, but for mixed shapes."""
    out.unlink(missing_ok=True)
    try:
        done = converted(kind, source, images, out)
    except UserError as error:
        assert str(error) and not out.exists()
        return False
    faults = parse_coco(out, images).faults
    mixed = any("a box alone" in note for note in done.notes)
    assert all("has no mask" in fault for fault in faults) and (mixed or not faults)
    return True


@pytest.mark.parametrize("kind", ["voc", "yolo", "labelme", "cvat"])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), odd=st.lists(st.sampled_from(ODD), min_size=1, max_size=3))
def test_numbers_and_signs_in_wrong_places(
    kind: str, home: Path, seed: int, odd: list[str]
) -> None:
    rng = random.Random(seed)
    source = home / f"{kind}-{kind != 'voc' and rng.random() < 0.5}"
    path = rng.choice([p for p in sorted(source.rglob("*")) if p.is_file() and p.stat().st_size])
    sound = path.read_text()
    text = sound
    for value in odd:
        spots = [match.span() for match in re.finditer(r"[\w.-]+", text)]
        start, end = rng.choice(spots)
        text = text[:start] + value + text[end:]
    try:
        path.write_text(text)
        is_taken(kind, source, home / "images", home / "out.json")
    finally:
        path.write_text(sound)


@pytest.mark.parametrize("kind", ["voc", "yolo", "labelme", "cvat"])
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_damaged_bytes(kind: str, home: Path, seed: int) -> None:
    rng = random.Random(seed)
    source = home / f"{kind}-False"
    path = rng.choice([p for p in sorted(source.rglob("*")) if p.is_file() and p.stat().st_size])
    sound = path.read_bytes()
    damaged = bytearray(sound)
    for _ in range(rng.randint(1, 4)):
        if damaged:
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    del damaged[rng.randint(len(damaged) // 2, 2 * len(damaged)) :]
    try:
        path.write_bytes(damaged)
        is_taken(kind, source, home / "images", home / "out.json")
    finally:
        path.write_bytes(sound)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=broken_files())
def test_broken_coco_files(home: Path, text: str) -> None:
    (home / "coco").mkdir(exist_ok=True)
    (home / "coco" / "instances.json").write_text(text)
    is_taken("coco", home / "coco", home / "others", home / "out.json")


@pytest.mark.parametrize("kind", WRITERS)
def test_the_sound_ones_are_taken(home: Path, kind: str) -> None:
    assert is_taken(kind, home / f"{kind}-False", home / "images", home / "out.json")

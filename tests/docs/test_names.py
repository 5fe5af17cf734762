"""Files, modules and rooms that the pages name are there."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT
from tests.test_layers import LAYERS, ROOMS

NAMING = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
FOLDERS = (*LAYERS, "configs", "tests", "scripts", "docker", "docs", "benchmarks")
ELSEWHERE = {"configs/mae", "docker/.env"}  # in mmsegmentation; made by the user


def ids(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("page", NAMING, ids=ids)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    """Patterns, such as `configs/*/*.py`, are not looked at."""
    names = rf"(?<![\w/.-])(?:{'|'.join(FOLDERS)})/[\w./*{{}},<>-]*\w"
    for name in set(re.findall(names, page.read_text())) - ELSEWHERE:
        if not re.search("[*{<]", name):
            assert any(place.exists() for place in (ROOT / name, page.parent / name)), name


@pytest.mark.parametrize("page", NAMING, ids=ids)
def test_every_module_that_is_named_is_there(page: Path) -> None:
    """And what is named in it: the last parts of a name may be defined in the module."""
    for name in set(re.findall(rf"(?<![\w/.])(?:{'|'.join(LAYERS)})(?:\.\w+)+", page.read_text())):
        parts = name.split(".")
        files = [ROOT.joinpath(*parts[:count]) for count in range(len(parts), 0, -1)]
        found = [file for file in files if file.is_dir() or file.with_suffix(".py").is_file()]
        rest = parts[len(found[0].relative_to(ROOT).parts) :]
        code = found[0] / "__init__.py" if found[0].is_dir() else found[0].with_suffix(".py")
        assert all(re.search(rf"\b{part}\b", code.read_text()) for part in rest), name


@pytest.mark.parametrize("page", NAMING, ids=ids)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


def test_the_architecture_has_the_rooms_that_there_are() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    told = set(re.findall(r"`pipelines/(\w+)`", text))
    assert told == set(ROOMS)
    (picture,) = re.findall(r"```mermaid\n(.*?)```", text, re.DOTALL)
    drawn = set()
    for uppers, lowers in re.findall(r"^ +(\w[\w &]*) --> (\w[\w &]*)", picture, re.MULTILINE):
        for one in uppers.strip().split(" & "):
            for other in lowers.strip().split(" & "):
                drawn |= {one, other}
                if one in ROOMS:
                    assert ROOMS.get(other, 0) < ROOMS[one], f"{one} --> {other}"
    assert drawn >= {*ROOMS, *LAYERS}

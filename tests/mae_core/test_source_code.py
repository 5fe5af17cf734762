from pathlib import Path

import pytest

from mae_core import source_code
from mae_core.source_code import KeptSources, Source, code_digest, look_through

SOURCE = b'"""A module."""\nimport json\nfrom . import x  # here\n\n\ndef f():\n    return "a.b"\n'


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of somebody's own, and an empty store of what was found in sources."""
    folder = tmp_path / "kept_lab"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "x.py").write_text("value = 1\n")
    (folder / "top.py").write_bytes(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    store = KeptSources(tmp_path / "k.json")
    monkeypatch.setattr(source_code, "kept", lambda: store)
    return folder


def test_imports_and_texts_are_named_and_comments_mean_nothing() -> None:
    found = look_through(SOURCE, "lab")
    assert {"json", "lab", "lab.x", "a.b"} <= {*found.named}
    plain = look_through(b"import json\nfrom . import x\ndef f(): return 'a.b'", "lab")
    assert plain.meaning == found.meaning
    assert look_through(SOURCE.replace(b"a.b", b"a.c"), "lab").meaning != found.meaning


def test_what_is_kept_changes_no_digest(lab: Path, tmp_path: Path) -> None:
    once = code_digest(["kept_lab.top"])
    store = KeptSources(tmp_path / "k.json")
    assert store.found == source_code.kept().found
    assert all(isinstance(one, Source) for one in store.found.values())
    assert code_digest(["kept_lab.top"]) == once
    (lab / "x.py").write_text("value = 2\n")
    assert code_digest(["kept_lab.top"]) != once
    (lab / "x.py").write_text("value = 1  # as before\n")
    assert code_digest(["kept_lab.top"]) == once


@pytest.mark.parametrize("content", ["", "[1, 2]", '[["key", ["a"]]]', "{}", "\0"])
def test_a_damaged_store_is_an_empty_one(lab: Path, tmp_path: Path, content: str) -> None:
    once = code_digest(["kept_lab.top"])
    (tmp_path / "k.json").write_text(content)
    store = KeptSources(tmp_path / "k.json")
    assert not store.found
    source_code.kept().found.clear()
    assert code_digest(["kept_lab.top"]) == once


def test_a_store_that_cannot_be_written_harms_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = KeptSources(tmp_path / "file" / "k.json")
    store.found["key"] = Source((), "")
    store.write()

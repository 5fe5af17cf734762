import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mae_core.files import digest, replacing, write_json, write_text, zip_is_whole


def test_the_digest_follows_the_content_and_not_the_name(tmp_path: Path) -> None:
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (digest(tmp_path / name) for name in "abc")
    assert a == b != c
    assert len(a) == 64


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), replacing(path) as part:
        part.write_text("half")
        assert json.loads(path.read_text()) == {"a": 1}
        raise RuntimeError
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    write_text(path, "ä")
    assert path.read_bytes() == "ä".encode()
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_the_content_is_on_the_disk_before_it_gets_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "a", []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(path.exists()))
    write_text(path, "1")
    assert seen == [False, True]  # the file, then the folder that has the name


def test_a_private_file_is_never_readable_to_others(tmp_path: Path) -> None:
    with replacing(tmp_path / "secret", private=True) as part:
        part.write_text("a")
        assert part.stat().st_mode & 0o077 == 0
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


@given(places=st.lists(st.integers(0, 10**6), min_size=1, max_size=3), bit=st.integers(0, 7))
@settings(max_examples=100)
def test_damage_of_a_zip_is_found_or_changes_nothing(places: list[int], bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npz"
        np.savez(path, a=np.arange(50), b=np.ones(9))
        assert zip_is_whole(path)
        content = bytearray(path.read_bytes())
        for place in places:
            content[place % len(content)] ^= 1 << bit
        path.write_bytes(content)
        if not zip_is_whole(path):
            return
        with np.load(path) as stored:  # a date, or an attribute of a file
            assert np.array_equal(stored["a"], np.arange(50))
            assert np.array_equal(stored["b"], np.ones(9))


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip"])
def test_what_is_no_zip_is_not_whole(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert not zip_is_whole(tmp_path / "a")

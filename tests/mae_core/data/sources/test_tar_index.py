import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mae_core import UserError
from mae_core.data.sources import tar_index as module
from mae_core.data.sources.tar_index import tar_index
from tests.forms import some_images, write_tar


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_content_lies_where_the_index_says(tmp_path: Path, kind: int) -> None:
    images = some_images()
    names = {f"{'long' * 20}/{'n' * 60}{i}.jpg": image for i, image in enumerate(images.values())}
    with tarfile.open(tmp_path / "x.tar", "w", format=kind) as tar:
        for name, content in names.items():
            (tmp_path / "image").write_bytes(content)
            tar.add(tmp_path / "image", name)
    index = tar_index(tmp_path / "x.tar")
    content = (tmp_path / "x.tar").read_bytes()
    found = {
        name.decode(): content[offset : offset + size]
        for name, (offset, size) in zip(index.names, index.places, strict=True)
    }
    assert found == names


def test_the_index_is_kept_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = write_tar(tmp_path / "x.tar", {"a.jpg": b"1", "a.cls": b"cat"})
    first = tar_index(shard)
    with monkeypatch.context() as patch:
        patch.delattr(module, "_build")
        again = tar_index(shard)
    assert [a.tolist() for a in again] == [a.tolist() for a in first]
    write_tar(shard, {"a.jpg": b"1", "b.jpg": bytes(20_000)})
    assert tar_index(shard).names.tolist() == [b"a.jpg", b"b.jpg"]


@pytest.mark.parametrize("fault", ["damaged", "cannot be written"])
def test_a_cache_at_fault_does_not_matter(tmp_path: Path, caches: Path, fault: str) -> None:
    shard = write_tar(tmp_path / "x.tar", {"a.jpg": b"1"})
    if fault == "damaged":
        tar_index(shard)
        for kept in (caches / "mae-bench" / "tars").iterdir():
            kept.write_bytes(kept.read_bytes()[:100])
    else:
        caches.write_text("a file, no folder")
    assert tar_index(shard).names.tolist() == [b"a.jpg"]


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 7 * 1024))
def test_a_tar_cut_off_anywhere_is_refused(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    shard = write_tar(
        tmp_path_factory.mktemp("cut") / "x.tar",
        {f"{i}.jpg": bytes([i]) * 700 for i in range(1, 5)},
    )
    members = 4 * (512 + 1024)
    shard.write_bytes(shard.read_bytes()[:cut])
    if cut >= members + 512:
        assert len(tar_index(shard).names) == 4
    else:
        with pytest.raises(UserError, match=rf"{shard} is no complete tar file .*make it anew"):
            tar_index(shard)


@pytest.mark.parametrize("member", range(4))
def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path, member: int) -> None:
    shard = write_tar(tmp_path / "x.tar", {f"{i}.jpg": b"x" * 700 for i in range(4)})
    content = bytearray(shard.read_bytes())
    content[member * (512 + 1024) + 150] ^= 0xFF  # in the checksum
    shard.write_bytes(content)
    with pytest.raises(UserError, match=rf"{shard} is no complete tar file"):
        tar_index(shard)


def test_two_tars_in_one_file_are_refused(tmp_path: Path) -> None:
    one, other = (write_tar(tmp_path / f"{n}.tar", {f"{n}.jpg": b"x"}) for n in "ab")
    one.write_bytes(one.read_bytes() + other.read_bytes())
    with pytest.raises(UserError, match="cut off or damaged after 1,024 bytes"):
        tar_index(one)

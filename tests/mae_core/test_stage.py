import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mae_core.stage import Metric, StageResult

files = st.from_regex(r"(/[a-z]{1,3}){1,3}", fullmatch=True)
numbers = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(min_size=1)
results = st.builds(
    StageResult,
    st.dictionaries(names, st.builds(Metric, numbers, st.none() | numbers)),
    st.none() | files,
    st.dictionaries(names, files),
)


@given(result=results)
def test_what_is_saved_is_what_is_read(result: StageResult) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "result.json")
        result.save(file)
        assert StageResult.load(file) == result
        assert list(Path(folder).iterdir()) == [file]


def test_a_lost_checkpoint_or_artifact_is_noticed(tmp_path: Path) -> None:
    checkpoint, picture = tmp_path / "weights", tmp_path / "picture"
    result = StageResult({}, str(checkpoint), {"picture": str(picture)})
    checkpoint.touch()
    assert not result.files_exist()
    picture.touch()
    assert result.files_exist()
    checkpoint.unlink()
    assert not result.files_exist()
    assert StageResult().files_exist()


def test_a_result_moves_with_its_folder(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    elsewhere = tmp_path / "elsewhere"
    names = {"picture": str(before / "figures" / "picture"), "other": str(elsewhere)}
    StageResult({}, str(before / "weights"), names).save(before / "result.json")
    before.rename(after)
    found = StageResult.load(after / "result.json")
    assert found.checkpoint == str(after / "weights")
    assert found.artifacts == {
        "picture": str(after / "figures" / "picture"),
        "other": str(elsewhere),
    }

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mae_core import UserError
from pipelines.recipes.reproduce import check_data_only, config_of_run
from pipelines.recipes.single import run_single
from pipelines.tracking.tracker import Tracker


def test_a_stage_runs_again_by_its_run_alone(
    configs: Path, tracker: Tracker, tmp_path: Path
) -> None:
    first = run_single("knn", str(configs / "knn.py"), "random", None, ["k=2"])
    (configs / "knn.py").unlink()
    again = run_single("knn", f"runs:/{first.run_id}", "random", tmp_path / "again", [])
    assert again.result.metrics == first.result.metrics and again.run_id == first.run_id
    assert config_of_run(f"runs:/{first.run_id}", ["k=5"], tracker).k == 5
    with pytest.raises(UserError, match="is a config for 'knn', expected 'finetune'"):
        run_single("finetune", f"runs:/{first.run_id}", "random", None, [])


HOSTILE = {
    "import os\nos.system('touch pwned')": "is no plain config",
    "stage = __import__('os').system('touch pwned')": "is no plain config",
    "_base_ = [open('pwned', 'w')]": "is no plain config",
    "model = dict(neck=dict(type='subprocess.Popen', args=['touch', 'pwned']))": "type='subprocess",
    "custom_imports = dict(imports=['pwn'])": "imports 'pwn'",
    "custom_imports = 'x'": "imports 'None'",
    "a = [dict(_scope_='pwn', type='X')]": "_scope_='pwn'",
    "data = '{{$HOME:x}}'": "would be replaced",
    "a = " + "[" * 5000 + "]" * 5000: "is no plain config",
    "filename = 'x'": "is no plain config",
    "a = dict([1])": "is no plain config",
    "": "is a config for 'None'",
}


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_a_run_keeps_is_never_executed(
    text: str, tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pwn.py").write_text("open('pwned', 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    run_id = tracker.start("knn", {})
    tracker.text(run_id, text, "config.py")
    with pytest.raises(UserError, match=HOSTILE[text]):
        run_single("knn", f"runs:/{run_id}", "random", None, [])
    assert not Path("pwned").exists()


@pytest.mark.parametrize("name", ["runs:/", "runs:/../../etc", "runs:/" + "0" * 32])
def test_no_such_run_is_told(name: str, tracker: Tracker) -> None:
    with pytest.raises(UserError, match="no MLflow run"):
        config_of_run(name, [], tracker)


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=8) | st.just("os.system"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "_scope_", "custom_imports", "a"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=100)
@given(VALUES)
def test_any_content_is_taken_or_refused(content: object) -> None:
    try:
        check_data_only(content, "runs:/x")
    except UserError:
        return
    assert "'type': 'os.system'" not in repr(content)

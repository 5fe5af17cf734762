import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/test.py, started where nothing else is."""
    spec = importlib.util.spec_from_file_location("test_script", ROOT / "scripts" / "test.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    return module


@pytest.mark.parametrize(
    ("body", "code"),
    [("pass", 0), ("assert False", 1), ("import os; os._exit(0)", 1)],
    ids=["passes", "fails", "breaks off"],
)
def test_a_group_passes_only_if_its_last_test_was_reached(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, code: int
) -> None:
    (tmp_path / "test_it.py").write_text(f"def test_it():\n    {body}\n")
    script.GROUPS = {"it": ["test_it.py"]}
    assert script.run("it") == code
    assert ("broken off" in capsys.readouterr().out) == ("_exit" in body)


def test_every_test_is_in_one_group(script: ModuleType) -> None:
    named = [file for name in ("demo", "services", "core", "docs") for file in script.GROUPS[name]]
    assert all((ROOT / file).exists() for file in named)
    for file in named:
        group = "pipelines" if file.startswith("tests/pipelines") else "others"
        assert f"--ignore={file}" in script.GROUPS[group]

"""uv finds packages where pip is set to find them."""

import os
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "pip_settings.py"
SCRIPTS = SimpleNamespace(**runpy.run_path(str(SCRIPT)))


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))


def write_wheel(folder: Path, name: str, version: str) -> Path:
    """A wheel of one empty module."""
    folder.mkdir(parents=True, exist_ok=True)
    about = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{about}/METADATA", f"Name: {name}\nVersion: {version}\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    return path


def install(target: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """Install by uv, set as pip is, into a folder."""
    settings = SCRIPTS.pip_settings(sys.executable)
    uv = str(Path(sys.executable).with_name("uv"))
    return subprocess.run(
        [uv, "pip", "install", "--target", str(target), *SCRIPTS.uv_options(settings), *names],
        env=os.environ | SCRIPTS.uv_environment(settings),
        capture_output=True,
        text=True,
    )


def test_folders_of_wheels_and_a_constraint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(tmp_path / "some", "onewheel", "1.0")
    for version in ("1.0", "2.0"):
        write_wheel(tmp_path / "more", "otherwheel", version)
    (tmp_path / "limits.txt").write_text("otherwheel<2\n")
    config = tmp_path / "pip.conf"
    config.write_text(
        f"[global]\nno-index = true\nfind-links =\n  {tmp_path / 'some'}\n  {tmp_path / 'more'}\n"
        f"[install]\nconstraint = {tmp_path / 'limits.txt'}\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    done = install(tmp_path / "target", "onewheel", "otherwheel")
    assert done.returncode == 0, done.stderr
    assert "otherwheel==1.0" in done.stderr and "onewheel==1.0" in done.stderr


def test_the_best_version_of_all_indexes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index, version in (("first", "1.0"), ("second", "2.0"), ("third", "1.5")):
        folder = tmp_path / index / "onewheel"
        wheel = write_wheel(folder, "onewheel", version)
        (folder / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    first, second, third = ((tmp_path / name).as_uri() for name in ("first", "second", "third"))
    monkeypatch.setenv("PIP_INDEX_URL", first)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"{second} {third}")
    done = install(tmp_path / "target", "onewheel")
    assert "onewheel==2.0" in done.stderr, done.stderr


def test_variables_come_before_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\ntimeout = 20\ncert = /some/bundle.pem\nproxy = http://proxy:3128\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_CERT", "/other/bundle.pem")
    told = SCRIPTS.uv_environment(SCRIPTS.pip_settings(sys.executable))
    assert told["UV_HTTP_TIMEOUT"] == "20"
    assert told["SSL_CERT_FILE"] == "/other/bundle.pem"
    assert told["ALL_PROXY"] == "http://proxy:3128"


@pytest.mark.parametrize(("value", "said"), [("1", True), ("true", True), ("0", False)])
def test_no_index(value: str, said: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", value)
    assert ("--no-index" in SCRIPTS.uv_options(SCRIPTS.pip_settings(sys.executable))) == said

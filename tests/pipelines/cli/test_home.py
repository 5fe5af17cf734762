import pytest
from typer.testing import CliRunner

from pipelines.cli.home import home_of
from pipelines.cli.main import app


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("~/x", "/home/me/x"),
        ("--out=~/x", "/home/me/x"),
        ("data=~/x", "data=~/x"),  # an override: whoever reads the key expands it
        ("a~b", "a~b"),
        ("--out=a=~", "--out=a=~"),
    ],
)
def test_home_is_meant_in_paths_alone(
    monkeypatch: pytest.MonkeyPatch, given: str, meant: str
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    found = home_of(given)
    assert found == (f"--out={meant}" if given == "--out=~/x" else meant)


def test_every_command_expands_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/nobody")
    result = CliRunner().invoke(app, ["data", "check", "~/photos"])
    assert "no data at /home/nobody/photos" in str(result.exception)

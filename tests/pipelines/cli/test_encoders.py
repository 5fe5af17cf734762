import sys
from pathlib import Path

import pytest

from pipelines.cli.main import USER_MISTAKE, main

Call = tuple[int, str, str]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Exit code, output and messages of `mae-bench encoders ...` in this process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def run(*arguments: str) -> Call:
        monkeypatch.setattr(sys, "argv", ["mae-bench", "encoders", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        done = capsys.readouterr()
        return int(end.value.code or 0), done.out, done.err

    return run


def test_without_a_pattern_ours_and_timms_families(call) -> None:
    code, out, _ = call()
    lines = [line.split() for line in out.splitlines()]
    assert code == 0 and len(lines) < 150
    assert ["vit-tiny-p16", "5.52", "M", "-", "-", "-"] in lines
    assert any(line[:1] == ["timm:tf_efficientnet_lite0@package"] for line in lines)
    assert any(line[:1] == ["convnext"] and line[2].startswith("timm:conv") for line in lines)


def test_a_pattern_lists_what_fits_one_a_line(call) -> None:
    code, out, _ = call("test_vit*")
    lines = out.splitlines()
    assert code == 0
    (line,) = (one for one in lines if one.startswith("timm:test_vit.r160_in1k"))
    assert line.split()[1:] == ["306", "k", "160×160", "apache-2.0", "to", "download"]


def test_an_encoder_without_weights_has_none(call) -> None:
    _, out, _ = call("pixels")
    assert ["pixels", "0", "-", "-", "-"] in [line.split() for line in out.splitlines()]


def test_more_than_can_be_read_are_counted(call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.cli.encoders.LISTED", 2)
    _, out, _ = call("test_*")
    assert sum(line.startswith("timm:") for line in out.splitlines()) == 2
    assert "more: a longer PATTERN shows them" in out


def test_no_match_is_one_message(call) -> None:
    code, out, err = call("convnextv3")
    assert code == USER_MISTAKE and not out
    assert "no encoder's name fits 'convnextv3': did you mean 'convnextv2" in err

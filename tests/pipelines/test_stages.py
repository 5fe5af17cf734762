import pytest

from pipelines.stages import STAGES, stage_function


@pytest.mark.parametrize("name", [n for n in STAGES if n not in ("detect", "segment")])
def test_every_stage_has_a_function(name: str) -> None:
    assert callable(stage_function(name))

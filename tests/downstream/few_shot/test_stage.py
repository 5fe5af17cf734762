from pathlib import Path

import pytest
from mmengine.config import Config

from downstream.few_shot.stage import check, run
from downstream.outcomes import load_outcomes
from mae_core import UserError
from mae_core.engine.config import load_config
from mae_core.stage import SilentReporter
from tests.downstream.classification.conftest import on


@pytest.fixture
def config(garments: Path) -> Config:
    config = on(load_config("few_shot/vit-micro-p6_600ep_demo"), garments)
    config.update(episodes=50, queries=10, settings=[(4, 1), (4, 5)])
    return config


def test_the_stage_reports_every_setting_and_head_with_its_interval(
    config: Config, tmp_path: Path
) -> None:
    work_dir = tmp_path / "stages" / "few-shot"
    work_dir.mkdir(parents=True)
    result = run(config, "random", work_dir, SilentReporter())
    names = [f"few-shot/4way{k}shot{h}" for k in (1, 5) for h in ("", "_logistic", "_ridge")]
    assert list(result.metrics) == names
    one, five = (result.metrics[f"few-shot/4way{k}shot"] for k in (1, 5))
    assert five.value > one.value > 0.25
    assert one.ci95 is not None
    assert 0 < one.ci95 < 0.1
    outcomes = load_outcomes(Path(result.artifacts["outcomes"]))
    assert {name: values.shape for name, values in outcomes.items()} == dict.fromkeys(names, (50,))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("settings", [(4, 11)], r"20 images.*11 shots \+ 10 queries"),
        ("settings", [(5, 1)], "5 classes, found 4"),
        ("heads", ("centriod",), "Did you mean 'centroid'|centroid"),
        ("episodes", 1, "at least 2"),
    ],
)
def test_what_cannot_be_drawn_is_told_before_anything_runs(
    config: Config, key: str, value: object, message: str
) -> None:
    config[key] = value
    with pytest.raises(UserError, match=message):
        check(config, "random")

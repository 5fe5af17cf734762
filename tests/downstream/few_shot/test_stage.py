from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from sklearn.preprocessing import StandardScaler

from downstream.classification.features import train_and_val_features
from downstream.few_shot.episodes import classified
from downstream.few_shot.stage import check, run
from downstream.outcomes import Episodes, load_outcomes
from downstream.statistics import over_episodes
from mae_core import UserError
from mae_core.config import load_config
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
    shapes = {name: values.shape for name, values in outcomes.items()}
    assert shapes == dict.fromkeys(names, (50, 4, 10))
    for name, episodes in outcomes.items():
        assert isinstance(episodes, Episodes) and not episodes.new_classes
        assert over_episodes(episodes) == result.metrics[name]
    first, other = outcomes[names[0]], outcomes[names[1]]
    assert isinstance(first, Episodes) and isinstance(other, Episodes)
    assert first.same_draw(other) and not np.array_equal(first.correct, other.correct)


@pytest.mark.parametrize(("standardize", "splits"), [(False, 1), (True, 2)])
def test_train_images_are_encoded_only_to_standardize(
    config: Config, tmp_path: Path, standardize: bool, splits: int
) -> None:
    config.standardize = standardize
    (tmp_path / "few-shot").mkdir()
    run(config, "random", tmp_path / "few-shot", SilentReporter())
    assert len(list((tmp_path / "features").glob("*.npz"))) == splits


def test_another_seed_draws_other_episodes(config: Config, tmp_path: Path) -> None:
    draws = []
    for seed in (0, 0, 1):
        config.seed = seed
        work_dir = tmp_path / "stages" / str(len(draws))
        work_dir.mkdir(parents=True)
        result = run(config, "random", work_dir, SilentReporter())
        episodes = load_outcomes(Path(result.artifacts["outcomes"]))["few-shot/4way1shot"]
        assert isinstance(episodes, Episodes)
        draws.append(episodes)
    assert draws[0].same_draw(draws[1]) and not draws[0].same_draw(draws[2])


def test_novel_classes_are_the_only_ones_drawn_and_known_ones_are_told(
    config: Config, tmp_path: Path
) -> None:
    notes: list[str] = []

    class Noting(SilentReporter):
        def note(self, text: str) -> None:
            notes.append(text)

    work_dir = tmp_path / "stages" / "few-shot"
    work_dir.mkdir(parents=True)
    config.settings = [(2, 1)]
    run(config, "random", work_dir, Noting())
    assert any("novel_classes" in note for note in notes)
    notes.clear()
    config.novel_classes = ["class-1", "class-2", "class-3"]
    check(config, "random")
    result = run(config, "random", work_dir, Noting())
    episodes = load_outcomes(Path(result.artifacts["outcomes"]))["few-shot/2way1shot"]
    assert isinstance(episodes, Episodes) and episodes.new_classes
    assert set(episodes.classes.ravel().tolist()) == {1, 2, 3} and not notes


def test_standardizing_is_an_option_that_changes_the_numbers(
    config: Config, tmp_path: Path
) -> None:
    (tmp_path / "stages" / "few-shot").mkdir(parents=True)
    train, val = train_and_val_features(
        config, "random", tmp_path / "stages" / "few-shot", SilentReporter()
    )
    scaler = StandardScaler().fit(train.x)
    for standardize in (False, True):
        config.standardize = standardize
        result = run(config, "random", tmp_path / "stages" / "few-shot", SilentReporter())
        x = torch.from_numpy(scaler.transform(val.x)).float() if standardize else val.x
        found = classified(x, val.y, 4, 5, 10, 50, ["ridge"], config.seed)["ridge"]
        value = result.metrics["few-shot/4way5shot_ridge"].value
        assert value == pytest.approx(found.correct.mean(), abs=0.002)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("settings", [(4, 11)], r"20 images.*11 shots \+ 10 queries"),
        ("settings", [(5, 1)], "5 classes, found 4"),
        ("heads", ("centriod",), "Did you mean 'centroid'|centroid"),
        ("episodes", 1, "at least 2"),
        ("novel_classes", ["class-0", "clas-1"], "no class 'clas-1': did you mean 'class-1'"),
        ("novel_classes", ["class-0"], "two or more names"),
        ("novel_classes", ["class-0", "class-2"], "4 classes, found 2"),
    ],
)
def test_what_cannot_be_drawn_is_told_before_anything_runs(
    config: Config, key: str, value: object, message: str
) -> None:
    config[key] = value
    with pytest.raises(UserError, match=message):
        check(config, "random")

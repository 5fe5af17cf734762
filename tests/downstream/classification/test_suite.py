import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from sklearn.linear_model import LogisticRegression

from downstream.classification import suite
from downstream.classification.suite import STRENGTHS, check, choose, fit, mean_of, run
from downstream.outcomes import load_outcomes
from mae_core import UserError
from mae_core.config import load_config
from mae_core.data.sources.groups import groups_by_name
from mae_core.data.transform import Transform
from mae_core.stage import Metric, SilentReporter
from tests.downstream.classification.conftest import on


@pytest.fixture
def config(garments: Path) -> Config:
    """The four classes as three data sets of two groups: all, with fewer val images, grey."""
    config = on(load_config("suite/vit-micro-p6_demo"), garments)
    config.examples = (60, 20)
    data = dict(train_data=config.train_data.to_dict(), val_data=config.val_data.to_dict())
    small = {**data, "val_data": {**data["val_data"], "per_class": 5}}
    config.datasets = [
        dict(name="all", group="natural", **data),
        dict(name="few", group="natural", **small),
        dict(name="again", group="structured", **data),
    ]
    return config


def test_means_are_of_data_sets_and_of_groups(config: Config, tmp_path: Path) -> None:
    check(config, "random")
    result = run(config, "random", tmp_path, SilentReporter())
    value = {name.removeprefix("suite/"): m.value for name, m in result.metrics.items()}
    assert set(value) == {"all", "few", "again", "mean", "mean_natural", "mean_structured"}
    assert value["all"] > 0.5
    assert value["again"] == value["all"] == value["mean_structured"]
    assert value["mean_natural"] == pytest.approx((value["all"] + value["few"]) / 2)
    assert value["mean"] == pytest.approx((2 * value["all"] + value["few"]) / 3)
    outcomes = load_outcomes(Path(result.artifacts["outcomes"]))
    assert outcomes["suite/all"].shape == (80,) and outcomes["suite/few"].shape == (20,)
    assert outcomes["suite/all"].mean() == pytest.approx(value["all"])


def test_what_is_finished_is_not_learnt_again(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn, learnt = suite.learn, []

    def dying(*args: object) -> torch.Tensor:
        learnt.append(args[-1])
        if len(learnt) == 2:
            raise KeyboardInterrupt
        return learn(*args)

    monkeypatch.setattr(suite, "learn", dying)
    with pytest.raises(KeyboardInterrupt):
        run(config, "random", tmp_path, SilentReporter())
    metrics = run(config, "random", tmp_path, SilentReporter()).metrics
    assert [path.name for path in learnt] == ["all", "few", "few", "again"]
    assert metrics["suite/all"] == metrics["suite/again"]


def test_the_penalty_is_chosen_on_the_second_part_then_all_is_learnt() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=120)
    x = (0.5 * np.eye(4, 20)[y] + rng.normal(size=(120, 20))).astype(np.float32)
    found = fit(x, y, learnt=90)
    models = [LogisticRegression(C=c, max_iter=1000).fit(x[:90], y[:90]) for c in STRENGTHS]
    scores = [model.score(x[90:], y[90:]) for model in models]
    assert found.best_params_["C"] == STRENGTHS[int(np.argmax(scores))]
    assert found.best_score_ == pytest.approx(max(scores))
    whole = LogisticRegression(C=found.best_params_["C"], max_iter=1000).fit(x, y)
    assert np.array_equal(found.predict(x), whole.predict(x))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 10), st.integers(0, 1000))
def test_examples_differ_and_the_first_part_has_all_classes(classes: int, seed: int) -> None:
    labels = np.sort(np.random.default_rng(seed).geometric(0.4, 200) % classes)
    chosen = choose(labels, (20, 10), seed)
    assert len(set(chosen)) == 30
    assert set(labels[chosen[:20]]) == set(labels)
    assert np.array_equal(chosen, choose(labels, (20, 10), seed))


def test_the_setting_is_kept(config: Config, tmp_path: Path) -> None:
    config.datasets = config.datasets[1:2]
    result = run(config, "random", tmp_path, SilentReporter())
    setting = json.loads(Path(result.artifacts["settings"]).read_text())["few"]
    assert setting["C"] in STRENGTHS and 0 <= setting["held_out"] <= 1


@pytest.mark.parametrize("file", ["outcome.pt", "setting.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"flipped"])
def test_a_damaged_part_is_computed_anew(
    config: Config, tmp_path: Path, file: str, content: bytes
) -> None:
    config.datasets = config.datasets[1:2]
    first = run(config, "random", tmp_path, SilentReporter()).metrics
    damaged = tmp_path / "few" / file
    if content == b"flipped":
        whole = damaged.read_bytes()
        content = whole.replace(b"\1", b"\0") if file == "outcome.pt" else whole[:-1]
    damaged.write_bytes(content)
    assert run(config, "random", tmp_path, SilentReporter()).metrics == first
    assert damaged.read_bytes() != content


def test_the_mean_of_independent_numbers_is_surer() -> None:
    metric = mean_of([Metric(0.2, 0.03), Metric(0.6, 0.04)])
    assert (metric.value, metric.ci95) == (pytest.approx(0.4), pytest.approx(0.025))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(examples=(800, 200)), r"all: examples=\(800, 200\).* 120 train images of 4 classes"),
        (dict(examples=(3, 20)), "no more classes than the first"),
        (dict(datasets=[]), "one or more"),
        (dict(datasets=[dict(name="all")]), "expected group, name, train_data, val_data"),
    ],
)
def test_what_cannot_be_drawn_is_the_users_mistake(
    config: Config, change: dict, message: str
) -> None:
    for key, value in change.items():
        config[key] = value
    with pytest.raises(UserError, match=message):
        check(config, "random")


def test_two_data_sets_of_a_name_are_the_users_mistake(config: Config) -> None:
    config.datasets[1].name = "all"
    with pytest.raises(UserError, match="different names"):
        check(config, "random")


def test_vtab_has_19_data_sets_in_three_groups() -> None:
    datasets = load_config("suite/vit-base-p16_vtab1k").datasets
    groups = [entry.group for entry in datasets]
    assert {name: groups.count(name) for name in groups} == {
        "natural": 7,
        "specialized": 4,
        "structured": 8,
    }
    assert len({entry.train_data.data for entry in datasets}) == 19


def test_vtabs_images_are_resized_to_a_square_whatever_their_sides() -> None:
    """As by `preprocess_fn` of task_adaptation: bilinear, to 224 by 224."""
    for entry in load_config("suite/vit-base-p16_vtab1k").datasets:
        for data in (entry.train_data, entry.val_data):
            crop = Transform(data.transform.to_dict(), 3).cropper((100, 300), 0)
            assert crop.box == (0, 0, 100, 300) and crop.resized == (224, 224)
            assert crop.window == (0, 0, 224, 224) and crop.interpolation == "bilinear"


def test_both_parts_of_the_examples_have_groups_of_their_own() -> None:
    labels = np.arange(200) % 4
    groups = groups_by_name([str(number) for number in np.arange(200) // 10])
    chosen = choose(labels, (80, 20), 0, groups)
    learnt, held = groups.only(chosen[:80]), groups.only(chosen[80:])
    assert len(set(chosen)) == 100 and not learnt.present() & held.present()
    assert set(labels[chosen[:80]]) == set(range(4))
    with pytest.raises(UserError, match="as groups stay whole"):
        choose(labels, (150, 45), 1, groups_by_name(["a"] * 100 + ["b"] * 100))

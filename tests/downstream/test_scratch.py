from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from downstream.detection import check as detection
from downstream.scratch import recipe_for, recipes
from downstream.segmentation import check as segmentation
from mae_core.checkpoints import save_weights
from mae_core.encoders import create_encoder
from mae_core.stage import SilentReporter
from tests.downstream.dense.test_rehearsal import CHECKS, PACKAGE, config_on


@pytest.fixture(params=list(CHECKS))
def config(request: pytest.FixtureRequest, scenes: Path) -> Config:
    config = config_on(scenes, request.param)
    config.scratch.update(train_cfg={"max_epochs": 7})
    return config


def test_the_section_counts_for_random_weights_alone(config: Config) -> None:
    before = config.to_dict()
    own, other = recipe_for(config, "random"), recipe_for(config, "mae.safetensors")
    assert (own.train_cfg.max_epochs, own.optim_wrapper.paramwise_cfg.layer_decay) == (
        7,
        config.scratch.optim_wrapper.paramwise_cfg.layer_decay,
    )
    assert own.train_cfg.by_epoch and own.filename == config.filename
    plain = {key: value for key, value in before.items() if key != "scratch"}
    assert other.to_dict() == plain
    assert config.to_dict() == before
    assert recipe_for(own, "random").to_dict() == own.to_dict()


def test_two_recipes_are_tried_where_the_models_differ(config: Config) -> None:
    (own,) = recipes(config, "random")
    assert own.train_cfg.max_epochs == 7
    config.scratch.encoder = {"drop_path": 0.3}
    plain = config.encoder.get("drop_path")
    assert [r.encoder.get("drop_path") for r in recipes(config, "random")] == [plain, 0.3]
    assert [r.encoder.get("drop_path") for r in recipes(config, "some.file")] == [plain]
    config.pop("scratch")
    assert len(recipes(config, "random")) == 1


def test_a_check_tries_the_recipe_that_will_be_trained(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = {"detect": detection, "segment": segmentation}[config.stage]
    made = create_encoder(**config.encoder)
    encoder = str(tmp_path / "encoder.safetensors")
    save_weights(encoder, made, encoder=made.config)
    tried: list[int] = []
    monkeypatch.setattr(
        "downstream.dense.task.rehearse",
        lambda task, recipe, *_: tried.append(recipe.train_cfg.max_epochs),
    )
    plain = config.train_cfg.max_epochs
    stage.check(config, encoder)
    assert tried == [plain]
    stage.check(config, "random")
    assert tried == [plain, 7]
    config.scratch.encoder = {"drop_path": 0.3}  # it may stand in for an encoder to come
    stage.check(config, "random")
    assert tried == [plain, 7, plain, 7]


def test_a_stage_trains_the_recipe_of_its_encoder(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Seen(Exception):
        pass

    def build_runner(recipe: Config, *_: Any) -> None:
        raise Seen(recipe.train_cfg.max_epochs)

    monkeypatch.setattr("downstream.dense.task.build_runner", build_runner)
    run: Callable[..., Any] = __import__(PACKAGE[config.stage], fromlist=["run"]).run
    with pytest.raises(Seen, match=r"^7$"):
        run(config, "random", tmp_path / "work", SilentReporter())

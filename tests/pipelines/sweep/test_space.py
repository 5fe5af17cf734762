from dataclasses import replace
from pathlib import Path

import pytest

from mae_core import UserError
from mae_core.stage import StageResult
from pipelines.sweep.space import Pruning, load_sweep, short_names
from pipelines.tracking.encoders import Lookup
from pipelines.tracking.model_registry import MODEL, register
from pipelines.tracking.tracker import Tracker
from tests.pipelines.sweep.conftest import Write
from tests.tiny import write_encoder, write_recipe

RATIOS = "{'pretrain.mae.mask_ratio': [0.5, 0.75]}"
BOTH = "{'pretrain.mae.mask_ratio': [0.5, 0.75], '*.encoder.width': [8, 16]}"


def test_a_grid_has_every_combination_and_overrides_each_stage(write: Write) -> None:
    sweep = load_sweep(write(BOTH))
    assert sweep.trials == 4
    assert [sweep.label(values) for values in sweep.grid()] == [
        "mask_ratio=0.5, width=8",
        "mask_ratio=0.5, width=16",
        "mask_ratio=0.75, width=8",
        "mask_ratio=0.75, width=16",
    ]
    recipe = sweep.recipe_of(sweep.grid()[0])
    assert recipe.configs["pretrain"].mae.mask_ratio == 0.5
    assert {config.encoder.width for config in recipe.configs.values()} == {8}
    assert (recipe.encoders, recipe.tasks) == (("mae",), ("knn",))


def test_overrides_reach_sweep_recipe_and_stages(write: Write) -> None:
    given = ["goal=linear-probe/top1", "tasks=['linear-probe']", "slots=1", "pretrain.seed=7"]
    own = "['pretrain.train_cfg.max_epochs=2', 'pretrain.seed=5']"
    sweep = load_sweep(write(RATIOS, overrides=own), given)
    assert (sweep.goal, sweep.base.tasks, sweep.base.slots) == (
        "linear-probe/top1",
        ("linear-probe",),
        1,
    )
    config = sweep.recipe_of(sweep.grid()[1]).configs["pretrain"]
    assert (config.seed, config.train_cfg.max_epochs) == (7, 2)


def test_more_values_continue_a_grid_and_another_goal_does_not(write: Write) -> None:
    key = load_sweep(write(RATIOS)).key
    assert load_sweep(write("{'pretrain.mae.mask_ratio': [0.25, 0.5]}")).key == key
    assert load_sweep(write(RATIOS), ["goal=pretrain/loss"]).key != key
    assert load_sweep(write(RATIOS), ["pretrain.seed=1"]).key != key


@pytest.mark.parametrize(
    ("parameters", "keys", "message"),
    [
        ("{}", {}, "has no parameters: there is nothing to vary"),
        ("{'pretrain.mae.mask_ration': [0.5]}", {}, "'mask_ration' is unknown: did you mean"),
        ("{'pretrain.mae.mask_ratio': [0.5, 0.9]}", {}, "0.9 leaves 0 of 4 patches visible"),
        ("{'pretrain.mae.mask_ratio': 0.5}", {}, "expected a list of values, or dict"),
        ("{'pretrain.mae.mask_ratio': [0.5, 0.5]}", {}, "name values, and each once"),
        ("{'pretrain.mae.mask_ratio': [[0.5]]}", {}, "expected a number, text or None"),
        ("{'pretrain.mae.mask_ratio': dict(low=0.9, high=0.1)}", {}, "has .*low"),
        ("{'pretrain.mae.mask_ratio': dict(low=0.1, high=0.9)}", {}, "is a range: a grid needs"),
        (RATIOS, {"trials": "3"}, "trials are for sampler=tpe"),
        (RATIOS, {"sampler": "'tpe'", "goal": "'pretrain/loss'"}, "sampler=tpe needs how many"),
        (RATIOS, {"sampler": "'tpe'", "trials": "3"}, "on the reported images leave no interval"),
        (RATIOS, {"select_on": "None"}, "has no 'select_on': name images that choose"),
        (RATIOS, {"select_on": "{'knn.val_data.k': 1}"}, "'k' is unknown"),
        (RATIOS, {"select_on": "{'knn.k': 1}"}, "30 of the 30 images that the winner is reported"),
        (
            RATIOS,
            {"select_on": "{'knn.k': 1}", "goal": "'pretrain/loss'"},
            "is of the images trained on",
        ),
        (RATIOS, {"sampler": "'random'"}, "no sampler is called 'random'"),
        (RATIOS, {"goal": "'detect/box_AP'"}, "is no metric of this recipe's stages"),
        (RATIOS, {"goal": "None"}, "has no 'goal': a sweep needs recipe, goal, parameters"),
        (RATIOS, {"pruning": "dict(first=0.5)"}, "pruning needs a metric"),
        (RATIOS, {"pruning": "dict(metric='loss', keep=0.9)"}, "keep=0.9: expected a share"),
        (RATIOS, {"pruning": "dict(metric='loss', rungs=2)"}, "no key 'rungs'"),
    ],
)
def test_mistakes_are_told_before_any_trial(
    write: Write, parameters: str, keys: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_sweep(write(parameters, **keys))


@pytest.mark.parametrize(
    ("goal", "watched", "sign"),
    [
        ("knn/top1", "loss", -1),
        ("knn/top1", "val/knn/top1", 1),
        ("evaluate/mCE", "val/evaluate/mCE", 1),
        ("evaluate/mCE", "val/knn/top1", -1),
    ],
)
def test_what_is_watched_has_a_direction_of_its_own(
    write: Write, goal: str, watched: str, sign: int
) -> None:
    sweep = load_sweep(write(RATIOS))
    assert replace(sweep, goal=goal, pruning=Pruning(watched)).sign == sign


def test_names_are_short_where_they_can_be() -> None:
    assert short_names(["pretrain.mae.mask_ratio", "*.encoder.patch_size"]) == {
        "pretrain.mae.mask_ratio": "mask_ratio",
        "*.encoder.patch_size": "patch_size",
    }
    assert short_names(["pretrain.seed", "*.seed"]) == {
        "pretrain.seed": "pretrain.seed",
        "*.seed": "seed",
    }


def test_all_trials_have_the_encoder_that_a_model_named_at_first(
    write: Write, tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def registered(name: str) -> str:
        run_id = tracker.start(name, {"stage": "pretrain"})
        register(tracker, run_id, {})
        tracker.finish(run_id, StageResult({}, write_encoder(tmp_path / f"{name}.safetensors")))
        return run_id

    first, spec = registered("first"), f"models:/{MODEL}/latest"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # where nobody answers
    sweep = load_sweep(write("{'knn.k': [1, 3]}"), [f"encoders=['{spec}']"], Lookup(tracker.uri))
    registered("second")
    for recipe in (sweep.base, *map(sweep.recipe_of, sweep.grid())):
        (row,) = recipe.rows
        assert row.ref is not None and (row.ref.name, row.ref.run_id) == (spec, first)
    assert load_sweep(write("{'knn.k': [1, 3]}"), ["encoders=['random']"]).base.encoders


def test_the_first_row_of_a_dict_is_swept(write: Write, configs: Path) -> None:
    rows = {"raw": str(configs / "pretrain.py"), "random": None}
    write_recipe(configs, ("knn", "linear-probe"), rows)
    sweep = load_sweep(write(RATIOS))
    assert (sweep.base.encoders, sweep.base.tasks) == (("raw",), ("knn",))
    ratios = [sweep.recipe_of(one).configs["pretrain"].mae.mask_ratio for one in sweep.grid()]
    assert ratios == [0.5, 0.75]

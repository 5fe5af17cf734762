from pathlib import Path

import pytest

from mae_core import UserError
from mae_core.config import load_config
from mae_core.data.sources import factory
from mae_core.data.sources.folder import FolderSource
from pipelines.recipes.recipe import (
    check_content,
    checked_recipe,
    choices,
    handed_over,
    load_recipe,
    load_stage_config,
)
from pipelines.tracking.encoders import Lookup
from tests.tiny import write_recipe

MAIN_STAGES = ("pretrain", "finetune", "linear-probe", "knn", "few-shot")


@pytest.fixture
def recipe(configs: Path) -> str:
    return str(write_recipe(configs, ("knn", "few-shot"), ("mae", "random")))


def test_a_recipe_holds_a_config_for_pretraining_and_each_task(recipe: str) -> None:
    plan = load_recipe(recipe)
    assert (plan.name, plan.encoders, plan.tasks) == (
        "tiny",
        ("mae", "random"),
        ("knn", "few-shot"),
    )
    assert {name: config.stage for name, config in plan.configs.items()} == {
        name: name for name in ("pretrain", "knn", "few-shot")
    }


def test_the_checks_of_all_stages_list_each_data_once(
    recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[Path] = []

    class Listed(FolderSource):
        def __init__(self, root: Path) -> None:
            listed.append(root)
            super().__init__(root)

    monkeypatch.setattr(factory, "FolderSource", Listed)
    load_recipe(recipe)
    assert sorted(path.name for path in listed) == ["train", "val"]


def test_nothing_is_pretrained_without_the_row_mae(recipe: str) -> None:
    assert "pretrain" not in load_recipe(recipe, ["encoders=['random']"]).configs


def test_the_demo_covers_the_main_tasks_and_names_configs_of_it() -> None:
    demo = load_config("demo", "benchmarks")
    check_content(demo)
    named = {**demo.tasks, "pretrain": demo.pretrain}
    assert {stage: load_config(name).stage for stage, name in named.items()} == {
        stage: stage for stage in (*MAIN_STAGES, "detect", "segment")
    }


def test_overrides_reach_the_recipe_or_their_stage_alone(recipe: str) -> None:
    plan = load_recipe(recipe, ["slots=1", "knn.k=5", "knn.pool=cls", "few-shot.episodes=7"])
    assert plan.slots == 1
    assert (plan.configs["knn"].k, plan.configs["knn"].pool) == (5, "cls")
    assert plan.configs["few-shot"].episodes == 7
    assert plan.configs["few-shot"].pool == "avg"


def test_the_recipes_seed_is_every_stages_unless_overridden(recipe: str) -> None:
    configs = load_recipe(recipe, ["seed=3", "knn.seed=4"]).configs
    assert [config.seed for config in configs.values()] == [3, 4, 3]


def test_pixels_that_the_user_names_are_meant_for_every_encoder(recipe: str) -> None:
    configs = load_recipe(recipe, ["knn.pixels.mean=[1.0, 2.0, 3.0]"]).configs
    assert (configs["knn"].protocol, configs["few-shot"].protocol) == ("same", "own")
    assert configs["knn"].pixels.mean == [1.0, 2.0, 3.0]
    choice = ["knn.pixels.mean=[1.0, 2.0, 3.0]", "knn.protocol=own"]
    assert load_recipe(recipe, choice).configs["knn"].protocol == "own"


def test_the_key_follows_the_content(recipe: str) -> None:
    key = load_recipe(recipe).key
    assert load_recipe(recipe).key == key
    others = ["seed=1", "knn.k=4", "encoders=['random', 'mae']"]
    assert len({key, *(load_recipe(recipe, [other]).key for other in others)}) == 4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("slots", "'slots' is not key=value"),
        ("knn.k", "'k' is not key=value"),
        ("slot=1", "override 'slot=1' is of neither recipe nor stage: did you mean 'slots'?"),
        ("knnn.k=1", "did you mean 'knn'? Choices: analyze, detect,"),
        ("segment.seed=1", "this recipe has no stage 'segment'. Choices: few-shot, knn, pretrain"),
        ("knn.kk=1", "no key 'kk': 'kk' is unknown: did you mean 'k'?"),
        ("pretrain.trian_cfg.max_epochs=1", "'trian_cfg' is unknown: did you mean 'train_cfg'?"),
        ("slots=two", "'slots=two': expected a number like 2"),
        ("slots=0", "slots=0: at least one stage"),
        ("seed=1.5", "seed=1.5 in a recipe: expected int"),
        ("encoders=mae", "'encoders=mae': expected a list"),
        ("encoders=[]", "encoders=[]: name at least one, and each once"),
        ("encoders=['mae', 'mae']", "name at least one, and each once"),
        ("encoders=[{'a': 1}]", "name at least one, and each once"),
        ("encoders=['mea']", "no encoder at 'mea': did you mean 'mae'?"),
        ("encoders=['no/encoder.safetensors']", "no encoder at 'no/encoder.safetensors'"),
        ("tasks={'kn': 'a'}", "no task is called 'kn': did you mean 'knn'?"),
        ("tasks={'knn': 3}", "task 'knn' has 3 where its config's name belongs"),
        ("tasks.knn=knn/vit-micro_k20", "did you mean 'knn/vit-micro-p6_k20_demo'?"),
        ("knn.train_data.data=/no/data", "no data at /no/data"),
    ],
)
def test_a_mistake_in_an_override_is_named(recipe: str, override: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load_recipe(recipe, [override])
    assert message in str(error.value)


@pytest.mark.parametrize("key", ["seed", "slots", "encoders", "tasks"])
def test_a_missing_key_is_named(recipe: str, key: str) -> None:
    lines = Path(recipe).read_text().splitlines(keepends=True)
    Path(recipe).write_text("".join(line for line in lines if not line.startswith(key)))
    with pytest.raises(UserError, match=rf"tiny\.py has no '{key}': a recipe needs seed, slots"):
        load_recipe(recipe)


def test_a_pretraining_is_named_only_where_a_row_needs_it(recipe: str) -> None:
    lines = Path(recipe).read_text().splitlines(keepends=True)
    Path(recipe).write_text("".join(line for line in lines if not line.startswith("pretrain")))
    with pytest.raises(UserError, match="has the row 'mae', but no key `pretrain`: name"):
        load_recipe(recipe)
    assert list(load_recipe(recipe, ["encoders=['random']"]).configs) == ["knn", "few-shot"]


def test_a_recipe_that_was_handed_over_is_not_loaded_again(recipe: str) -> None:
    first = load_recipe(recipe, ["knn.k=5"])
    with handed_over(recipe, ["knn.k=5"], first):
        assert checked_recipe(recipe, ["knn.k=5"], Lookup()) is first
        assert checked_recipe(recipe, ["knn.k=4"], Lookup()).configs["knn"].k == 4
    assert checked_recipe(recipe, ["knn.k=5"], Lookup()) is not first


def test_a_wrong_recipe_gets_the_nearest_name() -> None:
    with pytest.raises(UserError, match="no benchmark is called 'dmeo': did you mean 'demo'"):
        load_recipe("dmeo")


def test_a_config_of_another_stage_is_refused(configs: Path) -> None:
    with pytest.raises(UserError, match=r"knn\.py is a config for 'knn', expected 'few-shot'"):
        load_stage_config("few-shot", str(configs / "knn.py"))


def test_rows_columns_and_seed_can_be_chosen(recipe: str) -> None:
    chosen = choices(recipe, ["random"], ["few-shot"], 3)
    plan = load_recipe(recipe, chosen)
    assert (plan.encoders, plan.tasks) == (("random",), ("few-shot",))
    assert plan.configs["few-shot"].seed == 3
    assert choices(recipe, None, None, None) == []
    with pytest.raises(UserError, match=r"no task 'knm'.*knn"):
        choices(recipe, None, ["knm"], None)


def test_retries_are_a_number(recipe: str) -> None:
    path = Path(recipe)
    assert load_recipe(recipe).retries == 0
    path.write_text(path.read_text() + "retries = 2\n")
    assert load_recipe(recipe).retries == 2
    with pytest.raises(UserError, match="retries"):
        load_recipe(recipe, ["retries=often"])

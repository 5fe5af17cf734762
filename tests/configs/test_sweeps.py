"""What the sweeps vary is in the configs of their recipes."""

import pytest

from mae_core.config import CONFIG_ROOT, apply_overrides, load_config
from pipelines.recipes.recipe import ALL, split_overrides
from pipelines.sweep.held_out import evaluated_sets
from pipelines.sweep.space import (
    check_choice,
    check_content,
    count,
    distribution,
    overrides_of,
    pruning_of,
)

SWEEPS = sorted(path.stem for path in (CONFIG_ROOT / "sweeps").glob("*.py"))


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_is_whole_and_its_keys_are_known(name: str) -> None:
    content = load_config(name, "sweeps")
    check_content(content)
    pruning_of(content.pruning)
    given = content.parameters.items()
    assert count(content, {key: distribution(key, value) for key, value in given}) > 3
    values = {key: value[0] if isinstance(value, list) else value["low"] for key, value in given}
    of_recipe, of_stage = split_overrides([*content.overrides, *overrides_of(values)])
    recipe = load_config(content.recipe, "benchmarks", of_recipe)
    tasks = content.tasks or recipe.tasks
    stages = {"pretrain": recipe.pretrain, **{task: recipe.tasks[task] for task in tasks}}
    for stage, config in stages.items():
        overrides = of_stage.get(ALL, []) + of_stage.get(stage, [])
        apply_overrides(load_config(config), overrides)


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_chooses_on_other_images_for_each_of_its_tasks(name: str) -> None:
    content = load_config(name, "sweeps")
    check_choice(content)
    of_recipe, _ = split_overrides([*content.overrides])
    recipe = load_config(content.recipe, "benchmarks", of_recipe)
    _, of_stage = split_overrides(overrides_of(content.to_dict()["select_on"]))
    assert of_stage.keys() == set(content.tasks or recipe.tasks)
    for task, overrides in of_stage.items():
        config = load_config(recipe.tasks[task])
        reported = dict(config.val_data)
        apply_overrides(config, overrides)
        assert config.val_data.data in ("demo/classification/val", "data/train")
        if config.val_data.data == "data/train":  # neither learnt from nor pretrained on
            assert config.val_data.part[0] >= config.train_data.part[1]
        assert dict(config.val_data).keys() - {"part"} == reported.keys() - {"part"}


def test_what_ends_the_demos_trials_early_is_what_chooses_among_them() -> None:
    content = load_config("decoder_demo", "sweeps")
    (pretrain,) = (one.removeprefix("pretrain=") for one in content.overrides)
    (watched,) = evaluated_sets(load_config(pretrain))
    assert [watched["data"]] == list(content.select_on.values())

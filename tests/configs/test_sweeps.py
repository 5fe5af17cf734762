"""What the sweeps vary is in the configs of their recipes."""

import pytest

from mae_core.engine.config import CONFIG_ROOT, apply_overrides, load_config
from pipelines.recipe import ALL, split_overrides
from pipelines.sweep.space import check_content, count, distribution, overrides_of, pruning_of

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

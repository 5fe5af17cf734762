from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny import write_recipe

Write = Callable[..., str]


def halves(images: Path) -> dict[str, str]:
    """Keys of a sweep whose kNN chooses on one half of the val images and reports on the other."""
    first, second = (
        {"data": f"{images}/val", "part": part, "transform": {"input_size": 12}}
        for part in ((0.0, 0.5), (0.5, 1.0))
    )
    return {
        "overrides": repr([f"knn.val_data={second}"]),
        "select_on": repr({"knn.val_data": first}),
    }


@pytest.fixture
def write(configs: Path) -> Write:
    """Writes a sweep over a small recipe, whose keys are given as Python text; its path."""
    recipe = write_recipe(configs, ("knn", "linear-probe"), ("mae", "random"))

    def write_sweep(parameters: str, **keys: str) -> str:
        path = configs / "sweep.py"
        content = {
            "recipe": f"'{recipe}'",
            "tasks": "['knn']",
            "goal": "'knn/top1'",
            "parameters": parameters,
            "select_on": "{}",
            **keys,
        }
        path.write_text("\n".join(f"{key} = {value}" for key, value in content.items()))
        return str(path)

    return write_sweep

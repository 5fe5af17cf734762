from pathlib import Path
from typing import cast

import pytest

from mae_core import UserError, create_encoder
from mae_core.checkpoints import save_weights
from pipelines.cells.cell import usable
from pipelines.cells.resources import Resources
from pipelines.recipes.matrix import planned_cells
from pipelines.recipes.recipe import load_recipe
from pipelines.service.place import Place
from pipelines.stages import card_of
from pipelines.tracking.tracker import Tracker
from tests.tiny import write_recipe

NET = "timm:test_convnext.r160_in1k@random"
ROWS = ("mae", "random", "supervised")


def recipe(configs: Path, tasks: tuple[str, ...], rows: tuple[str, ...] = ROWS) -> Path:
    path = write_recipe(configs, tasks, rows)
    path.write_text(
        path.read_text() + f"supervised = '{configs / 'supervise.py'}'\nrepeats = dict()\n"
    )
    return path


def cells(path: Path, *overrides: str) -> dict[str, tuple[str, str | None, int]]:
    """Source, upstream and seed by name."""
    planned = planned_cells(load_recipe(str(path), overrides))
    return {cell.name: (cell.source, upstream, cell.config.seed) for cell, upstream in planned}


def test_each_cell_takes_the_encoder_of_its_row(configs: Path) -> None:
    found = cells(recipe(configs, ("finetune", "knn")))
    assert found == {
        "pretrain[mae]": ("random", None, 0),
        "supervise[supervised]": ("random", None, 0),
        "finetune[mae]": ("random", "pretrain[mae]", 0),
        "knn[mae]": ("random", "pretrain[mae]", 0),
        "finetune[random]": ("random", None, 0),
        "knn[random]": ("random", None, 0),
        "knn[supervised]": ("random", "supervise[supervised]", 0),
    }


def test_what_is_trained_from_scratch_is_so_once(configs: Path) -> None:
    path = recipe(configs, ("finetune", "evaluate", "knn"), ("mae", "supervised"))
    found = cells(path)
    assert found["finetune[supervised]"] == ("supervised", None, 0)
    assert found["evaluate[supervised]"][1] == "finetune[supervised]"
    both = cells(path, "encoders=['mae', 'random', 'supervised']")
    assert {name for name in both if "supervised" in name} == {
        "supervise[supervised]",
        "knn[supervised]",
    }


def test_repeats_are_cells_of_their_own_with_further_seeds(configs: Path) -> None:
    found = cells(recipe(configs, ("knn",), ("random",)), "repeats={'knn': 3}", "seed=5")
    assert {name: seed for name, (_, _, seed) in found.items()} == {
        "knn[random]": 5,
        "knn[random]#1": 6,
        "knn[random]#2": 7,
    }


def test_each_pretraining_has_its_own_runs_of_the_tasks(configs: Path) -> None:
    repeats = "repeats={'pretrain': 2, 'finetune': 4, 'knn': 1}"
    found = cells(recipe(configs, ("finetune", "knn", "few-shot"), ("mae", "random")), repeats)
    made = {name: upstream for name, (_, upstream, _) in found.items()}
    assert made == {
        "pretrain[mae]": None,
        "pretrain[mae]#1": None,
        "finetune[mae]": "pretrain[mae]",
        "finetune[mae]#1": "pretrain[mae]#1",
        "finetune[mae]#2": "pretrain[mae]",
        "finetune[mae]#3": "pretrain[mae]#1",
        "knn[mae]": "pretrain[mae]",
        "few-shot[mae]": "pretrain[mae]",
        "few-shot[mae]#1": "pretrain[mae]#1",
        **{f"finetune[random]{n}": None for n in ("", "#1", "#2", "#3")},
        "knn[random]": None,
        "few-shot[random]": None,
        "few-shot[random]#1": None,
    }
    seeds = [found[f"pretrain[mae]{n}"][2] for n in ("", "#1")]
    assert seeds == [found[f"few-shot[random]{n}"][2] for n in ("", "#1")] == [0, 1]


def test_repeats_of_a_task_that_is_left_out_do_no_harm(configs: Path) -> None:
    found = cells(recipe(configs, ("knn",), ("random",)), "repeats={'finetune': 3}")
    assert list(found) == ["knn[random]"]


@pytest.mark.parametrize(
    "repeats", ["{'knnn': 2}", "{'knn': 0}", "{'knn': 'two'}", "{'knn': True}"]
)
def test_repeats_of_no_task_or_no_number_are_the_users_mistake(configs: Path, repeats: str) -> None:
    with pytest.raises(UserError, match="repeats has"):
        load_recipe(str(recipe(configs, ("knn",))), [f"repeats={repeats}"])


def test_the_row_supervised_needs_a_config(configs: Path) -> None:
    with pytest.raises(UserError, match="no key `supervised`"):
        load_recipe(str(write_recipe(configs, ("knn",), ROWS)))


def test_encoders_of_other_sizes_are_rows(configs: Path, tmp_path: Path) -> None:
    encoder = create_encoder("vit-micro-p6", width=24, depth=1, heads=2, img_size=12)
    save_weights(tmp_path / "e.safetensors", encoder, encoder=encoder.config)
    path = recipe(configs, ("knn",))
    rows = f"encoders=['mae', '{tmp_path / 'e.safetensors'}', '{NET}']"
    assert len(cells(path, "knn.encoder.width=32", rows)) == 4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("pretrain.encoder.width=24", r"linear-probe\[mae\]: .*'last2'.* 1 blocks"),
        (f"encoders=['{NET}']", r"linear-probe\[timm:.*\]: pool='last2': "),
        ("supervise.encoder.width=24", r"finetune\[supervised\]: .* width=24, .* from scratch"),
        ("*.protocol=mine", "protocol='mine': expected 'own' or 'same'"),
        ("knn.encoder.img_size=16", "16×16 pixels cannot be cut into patches of 6"),
    ],
)
def test_what_a_row_cannot_do_is_told_before_anything_runs(
    configs: Path, override: str, message: str
) -> None:
    path = recipe(configs, ("finetune", "knn", "linear-probe"))
    deeper = ["linear-probe.pool=last2", "linear-probe.encoder.depth=2"]
    with pytest.raises(UserError, match=message):
        load_recipe(str(path), [*deeper, override])


def test_cells_that_make_no_sense_are_left_out_with_the_reason(configs: Path) -> None:
    tasks = ("finetune", "evaluate", "knn")
    plan = load_recipe(str(recipe(configs, tasks, ("random", "pixels", "rcf"))))
    found = [cell.name for cell, _ in planned_cells(plan)]
    trained = ["finetune[random]", "evaluate[random]"]
    assert sorted(found) == sorted([*trained, "knn[random]", "knn[pixels]", "knn[rcf]"])
    assert set(plan.left_out) == {(task, row) for task in tasks[:2] for row in ("pixels", "rcf")}
    assert len(plan.absences) == 4
    assert plan.absences[0] == (
        "finetune leaves out pixels: finetune needs an encoder that has weights that can be "
        "trained, and pixels is none"
    )


def test_a_row_that_no_task_is_left_for_is_the_users_mistake(configs: Path) -> None:
    path = recipe(configs, ("finetune",), ("random", "pixels"))
    with pytest.raises(UserError, match="no task is left for the row 'pixels'"):
        load_recipe(str(path))


def test_few_labels_take_what_is_not_trained_by_the_probe_alone() -> None:
    card = card_of("low-shot")
    for methods in (["probe"], ("probe",)):
        assert card.needs_for({"methods": methods}) == ()
    for methods in (["finetune"], ["probe", "finetune"]):
        assert card.needs_for({"methods": methods}) == ("trained",)


def test_more_neighbours_than_images_are_told_before_anything_runs(configs: Path) -> None:
    with pytest.raises(UserError, match=r"k=99 .* found 35"):
        load_recipe(str(recipe(configs, ("knn",))), ["knn.k=99"])


def test_cells_of_more_devices_are_other_work_where_these_decide_the_result(configs: Path) -> None:
    """An update of theirs has twice the images, unless `effective_batch` says how many."""

    def keys(devices: int, *overrides: str) -> dict[str, str]:
        plan = load_recipe(str(recipe(configs, ("knn",), ("mae",))), overrides)
        planned = planned_cells(plan, Resources(devices=devices))
        return {cell.name: cell.key for cell, _ in planned}

    one, two = keys(1), keys(2)
    assert one["pretrain[mae]"] != two["pretrain[mae]"]
    assert one["knn[mae]"] == two["knn[mae]"]  # which uses one of them
    fixed = "pretrain.effective_batch=8"
    assert keys(1, fixed) == keys(2, fixed)


def test_slots_and_cores_change_no_threads(configs: Path) -> None:
    path, found = str(recipe(configs, ("knn",), ("random",))), []
    place = Place(Path("work"), cast(Tracker, None), None, None, True, "")
    for slots in (1, 2):
        (cell, _), *_ = planned_cells(load_recipe(path, [f"slots={slots}", "knn.threads=3"]))
        found.append((usable(cell, place.resources(slots)).threads, cell.key))
    assert found[0] == found[1] and found[0][0] == 3

from pathlib import Path

import pytest

from mae_core import UserError, create_encoder
from mae_core.checkpoints import save_encoder
from pipelines.cells.cell import cell_folder
from pipelines.identity import content_of
from pipelines.recipes.checks import config_for
from pipelines.recipes.matrix import planned_cells
from pipelines.recipes.recipe import Recipe, choices, load_recipe
from pipelines.tracking.tracker import Tracker
from tests.tiny import write_encoder, write_recipe


@pytest.fixture
def own(tmp_path: Path) -> str:
    return write_encoder(tmp_path / "own.safetensors")


@pytest.fixture
def recipe(configs: Path, own: str) -> str:
    """Two pretrainings, the rows of all kinds, and kNN."""
    (configs / "other.py").write_text(
        f"_base_ = ['{configs / 'pretrain.py'}']\nmae = dict(norm_pix_loss=False)\n"
    )
    rows = {
        "mae": str(configs / "pretrain.py"),
        "raw": str(configs / "other.py"),
        "random": None,
        "supervised": str(configs / "supervise.py"),
        "mine": own,
        own: None,
    }
    return str(write_recipe(configs, ("knn",), rows))


def made(recipe: Recipe) -> dict[str, str | None]:
    """By cell, the one that its encoder is from."""
    return {cell.name: takes for cell, takes in planned_cells(recipe)}


def test_each_row_is_made_as_its_value_says(recipe: str, own: str) -> None:
    plan = load_recipe(recipe)
    assert plan.encoders == ("mae", "raw", "random", "supervised", "mine", own)
    assert made(plan) == {
        "pretrain[mae]": None,
        "pretrain[raw]": None,
        "supervise[supervised]": None,
        "knn[mae]": "pretrain[mae]",
        "knn[raw]": "pretrain[raw]",
        "knn[random]": None,
        "knn[supervised]": "supervise[supervised]",
        "knn[mine]": None,
        f"knn[{own}]": None,
    }
    cells = {cell.name: cell for cell, _ in planned_cells(plan)}
    assert (cells["knn[mine]"].source, cells["knn[mine]"].spec) == (own, own)
    assert (cells[f"knn[{own}]"].source, cells[f"knn[{own}]"].spec) == (own, "")
    assert [plan.configs[f"pretrain[{row}]"].mae.norm_pix_loss for row in ("mae", "raw")] == [
        True,
        False,
    ]


def test_a_pretraining_that_goes_on_stands_beside_one_that_does_not(
    configs: Path, own: str, tracker: Tracker
) -> None:
    """Also of other sizes than the config's, which tasks of the row take over."""
    wide = create_encoder("vit-micro-p6", img_size=24, width=24, depth=1, heads=2)
    preprocessing = {"input_size": [24, 24], "interpolation": "bicubic", "crop_pct": 1.0}
    save_encoder(configs / "wide.safetensors", wide, preprocessing=preprocessing)
    (configs / "wide.py").write_text(
        f"_base_ = '{configs / 'pretrain.py'}'\nstart = '{configs / 'wide.safetensors'}'\n"
    )
    pretrain = str(configs / "pretrain.py")
    rows = {
        "mae": pretrain,
        "continued": pretrain,
        "wide": str(configs / "wide.py"),
        "published": own,
    }
    path = str(write_recipe(configs, ("knn",), rows))
    start = f"pretrain[continued].start={own}"
    plan = load_recipe(path, [start, "pretrain[continued].continued.warmup_updates=3"])
    cells = {cell.name: cell for cell, _ in planned_cells(plan)}
    assert made(plan)["knn[continued]"] == "pretrain[continued]"
    continued = cells["pretrain[continued]"]
    assert (continued.source, continued.spec) == (own, own)
    assert continued.inputs["encoder"] == content_of(own) and continued.config.start == own
    assert continued.config.continued.warmup_updates == 3
    assert (cells["pretrain[mae]"].source, cells["pretrain[mae]"].spec) == ("random", "")
    assert cells["pretrain[mae]"].config.get("start") is None
    assert continued.key != cells["pretrain[mae]"].key
    row = next(row for row in plan.rows if row.name == "wide")
    taken = config_for(row, plan.columns["knn"])
    assert (taken.encoder.width, list(taken.encoder.img_size)) == (24, [24, 24])
    assert list(taken.val_data.transform.input_size) == [24, 24]
    with pytest.raises(UserError, match=r"start of .*pretrain\.py: no encoder at 'no\.pth'"):
        load_recipe(path, ["pretrain[continued].start=no.pth"])
    with pytest.raises(UserError, match="begins with random ones: name some with start"):
        load_recipe(path, ["pretrain[mae].continued.warmup_updates=3"])


def test_a_list_is_a_dict_without_values(configs: Path) -> None:
    path = write_recipe(configs, ("knn",), ("mae", "random"))
    listed = load_recipe(str(path))
    path.write_text(path.read_text().replace("['mae', 'random']", "dict(mae=None, random=None)"))
    assert load_recipe(str(path)).key == listed.key
    named = write_recipe(configs, ("knn",), {"mae": str(configs / "pretrain.py"), "random": None})
    assert load_recipe(str(named)).key == listed.key


def test_pretrainings_of_one_config_share_no_folder(configs: Path, tmp_path: Path) -> None:
    same = str(configs / "pretrain.py")
    plan = load_recipe(str(write_recipe(configs, ("knn",), {"one": same, "two": same})))
    cells = [cell for cell, _ in planned_cells(plan)]
    assert len({cell_folder(cell, tmp_path) for cell in cells}) == len(cells) == 4


def test_overrides_reach_all_pretrainings_or_that_of_one_row(recipe: str) -> None:
    epochs = ["pretrain[raw].train_cfg.max_epochs=3", "pretrain.train_cfg.max_epochs=2"]
    plan = load_recipe(recipe, [*epochs, "*.seed=7", "pretrain[mae].seed=8"])
    configs = [plan.configs[f"pretrain[{row}]"] for row in ("mae", "raw")]
    assert [(one.train_cfg.max_epochs, one.seed) for one in configs] == [(2, 8), (3, 7)]
    assert plan.configs["knn"].seed == 7


def test_repeats_are_those_of_every_pretraining(recipe: str) -> None:
    Path(recipe).write_text(Path(recipe).read_text() + "repeats = dict(pretrain=2)\n")
    found = made(load_recipe(recipe))
    for row in ("mae", "raw"):
        for again in ("", "#1"):
            assert found[f"knn[{row}]{again}"] == f"pretrain[{row}]{again}"


def test_rows_are_chosen_by_name_and_changed_by_value(recipe: str, configs: Path) -> None:
    chosen = load_recipe(recipe, choices(recipe, ["raw", "random"], None, None))
    assert chosen.encoders == ("raw", "random")
    assert not chosen.configs["pretrain"].mae.norm_pix_loss
    changed = load_recipe(recipe, [f"encoders.raw={configs / 'pretrain.py'}"])
    assert changed.configs["pretrain[raw]"].mae.norm_pix_loss
    assert len({load_recipe(recipe).key, chosen.key, changed.key}) == 3


def test_the_key_follows_what_a_name_stands_for(recipe: str, own: str, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(Path(own).read_bytes())
    keys = {load_recipe(recipe, [f"encoders.mine={path}"]).key for path in (own, other)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("encoders={'a.b': 'pretrain/x'}", "encoders has 'a.b', which names files too"),
        ("encoders={'a/b': 'timm:x'}", "an encoder under its own name has the value None"),
        ("encoders={'A': 'timm:x', 'a': 'timm:y'}", "twice, but for upper and lower case"),
        ("encoders={'a': 3}", "encoders has a=3: expected a config, an encoder or None"),
        ("encoders={}", "name at least one, and each once"),
        ("encoders={'random': 'timm:x'}", "random weights are the row random=None"),
        ("encoders={'chance': 'random'}", "random weights are the row random=None"),
        ("encoders={'a': '{configs}/supervise.py'}", "makes the row 'supervised', and nothing"),
        ("encoders={'supervised': '{configs}/pretrain.py'}", "makes the row 'supervised', and"),
        ("encoders={'a': '{configs}/knn.py'}", "a config for 'knn': expected one for pretrain or"),
        ("encoders={'a': 'pretrain/vit-micro-p6'}", "the row 'a' has 'pretrain/vit-micro-p6': no"),
        (
            "encoders={'a': 'pretrain/vit-micro-p6_24e_demo'}",
            "did you mean 'pretrain/vit-micro-p6_1xb",
        ),
        ("encoders={'mae': None}", "has the row 'mae', but no key `pretrain`"),
        ("pretrain[rwa].seed=1", "no stage 'pretrain[rwa]': did you mean 'pretrain[raw]'"),
        ("knn[raw].k=1", "no stage 'knn[raw]'"),
        ("pretrain[raw]=1", "override 'pretrain[raw]=1' is of neither recipe nor stage"),
    ],
)
def test_a_mistake_in_a_row_is_named(
    recipe: str, configs: Path, override: str, message: str
) -> None:
    with pytest.raises(UserError) as error:
        load_recipe(recipe, [override.replace("{configs}", str(configs))])
    assert message in str(error.value)

import ast
import importlib
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config import Config

from mae_core import UserError
from mae_core.card import Stage
from mae_core.config import CONFIG_ROOT, load_config
from mae_core.source_code import closure
from pipelines.stages import (
    CARDS,
    PLUGINS,
    card_of,
    check_known,
    check_overridden,
    makers,
    metric_info,
    stage_function,
    stage_of,
    stages,
)
from pipelines.stages import tasks as all_tasks
from tests.packages import write_metadata


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that is installed in `tmp_path`, where its cards are to be written."""
    write_metadata(tmp_path, "toys", f"[{PLUGINS}]\ntoys = toy_cards\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "toy_cards", raising=False)
    stages.cache_clear()
    yield tmp_path / "toy_cards.py"
    stages.cache_clear()


@pytest.mark.parametrize("name", [n for n, card in stages().items() if not card.predict])
def test_every_stage_has_a_function(name: str) -> None:
    assert callable(stage_function(name))


def test_a_card_is_whole() -> None:
    for card in stages().values():
        assert card.help.endswith(".") and card.metrics
        assert card.section or not card.captions, f"{card.name}: its pictures have no section"
        for info in card.metrics:
            groups = re.compile(info.pattern).groups
            named = {int(number) for number in re.findall(r"\\(\d)", info.title)}
            assert named <= set(range(1, groups + 1)), info


@pytest.mark.parametrize("name", list(stages()))
def test_a_card_is_no_code_of_its_stage(name: str) -> None:
    """What a card lacked at a stage's end is added without training again."""
    assert not set(closure([stages()[name].module])) & {*CARDS, "mae_core.card"}


def test_no_two_stages_have_metrics_of_one_name() -> None:
    prefixes = [card.prefix for card in stages().values()]
    assert len(set(prefixes)) == len(prefixes)


def test_what_makes_an_encoder_is_no_task() -> None:
    assert makers() == ("pretrain", "supervise")
    assert set(all_tasks()) == stages().keys() - {"pretrain", "supervise"}


def test_a_task_of_the_report_has_its_stage_and_a_wrong_one_the_nearest() -> None:
    assert stage_of("fine-tune/top1") == stage_of("finetune") == "finetune"
    with pytest.raises(UserError, match="no task is called 'pretrain'"):
        stage_of("pretrain/loss")
    with pytest.raises(UserError, match="no stage is called 'detcet': did you mean 'detect'"):
        card_of("detcet")


def test_an_installed_package_brings_a_stage(plugin: Path) -> None:
    plugin.write_text(
        "from mae_core.card import MetricInfo, Stage\n"
        "CARDS = (Stage('depth', 'Depth.', 'toys.depth', metrics=(MetricInfo('rmse', 'RMSE',"
        " 'm', False),)),)\n"
    )
    assert list(stages())[-1] == "depth" and "depth" in all_tasks()
    assert metric_info("depth/rmse").higher_is_better is False


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ("'knn', 'Mine.', 'toys'", "knn"),
        ("'mine', 'Mine.', 'toys', task='knn'", "knn"),
        ("'fine-tune', 'Mine.', 'toys', task='mine'", "fine-tune"),
    ],
)
def test_a_package_cannot_take_a_name_of_a_stage(plugin: Path, fields: str, name: str) -> None:
    plugin.write_text(f"from mae_core.card import Stage\nCARDS = (Stage({fields}),)\n")
    with pytest.raises(UserError, match=f"toy_cards brings a stage '{name}', which is there alr"):
        stages()


ONE = "from mae_core.card import Stage\nCARDS = Stage('mine', 'Mine.', 'toys')"


@pytest.mark.parametrize(
    "content", ["import nothing_of_that_name", "", "CARDS = ", "1 / 0", "CARDS = ('mine',)", ONE]
)
def test_a_package_with_broken_cards_is_named(plugin: Path, content: str) -> None:
    plugin.write_text(content)
    with pytest.raises(UserError, match=r"toy_cards, which an installed package names as cards"):
        stages()


def read_keys(module: str) -> set[str]:
    """What a module reads from arguments that are the whole config."""
    tree, found = ast.parse(Path(sys.modules[module].__file__ or "").read_text()), set()
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        configs = {a.arg for a in function.args.args if ast.unparse(a.annotation or a) == "Config"}
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in configs:
                found.add(node.attr)
            if not isinstance(node, ast.Call):
                continue
            key = node.args[0] if node.args else None
            asked = ast.unparse(node.func) in {f"{config}.get" for config in configs}
            if asked and isinstance(key, ast.Constant):
                found.add(key.value)
    return found - set(dir(Config)) - {"get", "filename", "_cfg_dict"}


OURS = [card for card in stages().values() if card.keys]
OF_MMENGINE = {"default_hooks", "default_scope", "env_cfg", "log_level", "custom_imports"}


@pytest.mark.parametrize("card", OURS, ids=lambda card: card.name)
def test_a_card_names_the_keys_that_its_stage_reads(card: Stage) -> None:
    importlib.import_module(card.module)
    known = {*card.keys, *card.inside, "compile"}
    if card.module.endswith("finetune"):
        known.add("metrics")
    assert read_keys(card.module) <= known
    code = " ".join(Path(file).read_text() for file in files_of(card))
    assert not {key for key in card.keys if key not in code} - OF_MMENGINE


def files_of(card: Stage) -> list[str]:
    """The files of all code behind a stage."""
    modules = [card.module, *([card.checks] if card.checks else [])]
    return [str(find_spec(name).origin) for name in closure(modules)]  # type: ignore[union-attr]


def test_the_configs_have_no_key_that_their_stage_does_not_know() -> None:
    for path in sorted(CONFIG_ROOT.glob("*/*.py")):
        if path.parent.name not in ("_base_", "benchmarks", "sweeps"):
            config = load_config(str(path))
            check_known(config.stage, config)


@pytest.mark.parametrize("card", OURS, ids=lambda card: card.name)
def test_a_misspelt_key_is_refused_in_each_stage(card: Stage) -> None:
    key = f"{card.keys[-1]}s"
    config = Config({"stage": card.name, "_mine": 1, key: 1})
    with pytest.raises(UserError, match=f"{card.name} has no key '{key}': did you mean '"):
        check_known(card.name, config)


def test_a_key_of_other_stages_is_refused_with_their_names() -> None:
    for key in ("metrics", "decides"):
        for stage in ("few-shot", "low-shot", "partial-finetune", "suite", "evaluate"):
            with pytest.raises(
                UserError, match=f"{stage} has no key '{key}', it is a key of .*knn"
            ):
                check_known(stage, Config({key: ["auroc"]}))
    with pytest.raises(UserError, match=r"finetune has no key 'scratch\.epochs'"):
        check_known("finetune", Config({"scratch": {"epochs": 3}}))


def test_a_section_of_a_method_is_known() -> None:
    check_known("pretrain", Config({"method": "simmim", "simmim": {}, "mae": {}}))
    with pytest.raises(UserError, match="pretrain has no key 'simim': did you mean 'simmim'"):
        check_known("pretrain", Config({"simim": {}}))


def test_an_override_of_what_only_a_file_reads_is_refused() -> None:
    check_overridden("detect", ["model.neck=1"])
    with pytest.raises(UserError, match=r"override 'norm\.type=BN': detect reads no 'norm'"):
        check_overridden("detect", ["norm.type=BN"])

import re
import sys
from pathlib import Path

import pytest

from mae_core import UserError
from mae_core.source_code import closure
from pipelines.stages import (
    CARDS,
    PLUGINS,
    card_of,
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

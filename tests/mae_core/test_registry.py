from pathlib import Path

import pytest

from mae_core import UserError
from mae_core.registry import Registry
from tests.packages import write_metadata

GROUP = "mae_bench.tests"


def registry() -> Registry[int]:
    return Registry("number", (), GROUP)


def install(folder: Path, name: str, module: str, source: str) -> None:
    """A package with one module and an entry point for it, as pip leaves it."""
    (folder / f"{module}.py").write_text(source)
    write_metadata(folder, module, f"[{GROUP}]\n{name} = {module}\n")


def test_an_unknown_name_names_the_nearest_and_where_others_come_from() -> None:
    numbers = registry()
    numbers.add("seven", 7)
    with pytest.raises(UserError, match="no number is called 'sevn': did you mean 'seven'") as told:
        numbers["sevn"]
    assert "custom_imports" in str(told.value) and GROUP in str(told.value)


def test_two_entries_of_one_name_are_refused_and_the_same_one_again_is_not() -> None:
    numbers = registry()
    numbers.add("seven", 7)
    numbers.add("seven", 7)
    with pytest.raises(ValueError, match="the number 'seven' is 7 already, now also 8"):
        numbers.add("seven", 8)
    assert numbers["seven"] == 7


def test_a_broken_package_is_named_and_disturbs_nobody_who_does_not_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "broken", "broken_numbers", "raise OSError('no library')")
    monkeypatch.syspath_prepend(tmp_path)
    numbers = registry()
    numbers.add("seven", 7)
    assert numbers["seven"] == 7
    with pytest.raises(UserError, match=r"broken = broken_numbers .*OSError: no library"):
        numbers["eight"]

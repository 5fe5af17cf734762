from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from mmengine.config import Config

import downstream.classification.linear_probe
import downstream.few_shot.stage  # noqa: F401  both register what configs name
from mae_core import UserError
from mae_core.config import CONFIG_ROOT, load_config
from mae_core.engine.sections import arguments, check_sections, sections

CONFIG = "finetune/vit-micro-p6_1xb64-40e_demo-250"


def places(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The dicts in a part of a config."""
    if isinstance(node, Mapping):
        yield path
        for key, value in node.items():
            yield from places(value, (*path, key))


def test_a_misspelt_field_of_any_section_is_refused() -> None:
    whole = load_config(CONFIG)
    looked_at = {section.place for section in sections(whole.to_dict())}
    tried = 0
    for path in places(whole.to_dict()):
        if ".".join(path) not in looked_at:
            continue
        config = Config(whole.to_dict())
        node: Any = config
        for key in path:
            node = node[key]
        node["misspelt"] = 1
        with pytest.raises(UserError, match="misspelt"):
            check_sections(config)
        tried += 1
    assert tried > 12


def test_every_section_of_a_training_is_looked_at() -> None:
    """All dicts but those that other checks look at."""
    config = load_config(CONFIG)
    looked_at = {section.place for section in sections(config.to_dict())}
    others = ("encoder", "pixels", "classifier", "mixing", "scratch")
    for path in places(config.to_dict()):
        place = ".".join(path)
        if place and path[0] not in others and ".dataset" not in place:
            assert place in {*looked_at, "default_hooks"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"optim_wrapper.optimizer.lrr": 1.0}, "optim_wrapper.optimizer has no field 'lrr': did"),
        ({"optim_wrapper.optimizer.type": "Adamm"}, "type='Adamm': there is no such optimizer"),
        ({"optim_wrapper.accumulative_counts": 4}, "no field 'accumulative_counts'"),
        ({"optim_wrapper.constructor": "Layers"}, "constructor='Layers': there is no such"),
        ({"param_scheduler": []}, "schedule and param_scheduler both"),
        ({"default_hooks.checkpoint.intervall": 1}, "did you mean 'interval'"),
        ({"custom_hooks": [{"type": "Nope"}]}, r"custom_hooks\.0\.type='Nope': there is no such"),
        ({"scratch.schedule": {"warm_up": 1}}, "schedule has no field 'warm_up'"),
    ],
)
def test_what_a_training_would_pass_over_is_told(overrides: dict[str, Any], message: str) -> None:
    config = load_config(CONFIG)
    config.merge_from_dict(overrides)
    with pytest.raises(UserError, match=message):
        check_sections(config)


def test_all_our_configs_pass() -> None:
    found = 0
    for path in sorted(CONFIG_ROOT.glob("*/*.py")):
        if path.parent.name not in ("_base_", "benchmarks", "sweeps"):
            check_sections(load_config(str(path)))
            found += 1
    assert found > 50


def test_arguments_are_those_of_bases_where_they_are_handed_on() -> None:
    class Base:
        def __init__(self, a: int, b: int = 0) -> None: ...

    class Further(Base):
        def __init__(self, c: int, **fields: Any) -> None: ...

    class Anything:
        def __init__(self, **fields: Any) -> None: ...

    class Nothing: ...

    assert arguments(Further, "a") == {"b", "c"}
    assert arguments(Anything) is None and arguments(Nothing) == set()

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from mae_core import UserError
from mae_core.config import CONFIG_ROOT, apply_overrides, find_config, load_config

KNN = "knn/vit-micro-p6_k20_demo"
USUAL = {"warmup_updates": 0, "encoder_lr_mult": 1.0}


def test_a_name_works_with_and_without_ending_and_as_a_path() -> None:
    expected = CONFIG_ROOT / f"{KNN}.py"
    for name in (KNN, f"{KNN}.py", str(expected)):
        assert find_config(name) == expected
    assert find_config("demo", "benchmarks").parent.name == "benchmarks"


@pytest.mark.parametrize(
    ("name", "folder", "message"),
    [
        ("dmeo", "benchmarks", "no benchmark is called 'dmeo': did you mean 'demo'?"),
        ("knn/vit-micro_demo", "", f"did you mean '{KNN}'?"),
        ("_base_/runtimes", "", "no config is called '_base_/runtimes'"),
    ],
)
def test_a_wrong_name_gets_the_nearest(name: str, folder: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        find_config(name, folder)
    assert message in str(error.value)
    assert "Choices: " in str(error.value)
    assert "_base_/runtime," not in str(error.value)


@pytest.mark.parametrize(
    ("content", "cause"),
    [("stage = = 1", "SyntaxError"), ("a = 1 / 0", "ZeroDivisionError"), ("_base_ = 'no.py'", "")],
)
def test_a_config_that_cannot_run_is_named(tmp_path: Path, content: str, cause: str) -> None:
    (tmp_path / "own.py").write_text(content)
    with pytest.raises(UserError, match=rf"own\.py cannot be read: .*{cause}"):
        load_config(str(tmp_path / "own.py"))


def test_overrides_set_nested_keys_and_items_of_lists() -> None:
    overrides = ["encoder.arch=vit-tiny-p16", "pixels.mean.1=3.5", "k=7", "pool=cls"]
    config = load_config(KNN, overrides=overrides)
    assert config.encoder.arch == "vit-tiny-p16"
    assert config.pixels.mean == [72.9, 3.5, 72.9]
    assert (config.k, config.pool) == (7, "cls")


@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        st.lists,
        max_leaves=5,
    )
)
def test_a_literal_keeps_its_type(value: object) -> None:
    config = Config({"a": {"b": None}})
    apply_overrides(config, [f"a.b={value!r}"])
    assert config.a.b == value
    assert type(config.a.b) is type(value)


def test_keys_that_a_stage_need_not_have_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "pretrain.py"
    path.write_text("stage = 'pretrain'\n")
    assert load_config(str(path)).to_dict().keys() == {"stage", "threads"}
    config = load_config(str(path), overrides=["start=runs:/1", "continued.warmup_updates=3"])
    assert (config.start, config.continued) == ("runs:/1", {**USUAL, "warmup_updates": 3})
    again = load_config(str(path))
    apply_overrides(again, ["continued.encoder_lr_mult=0.5"])
    assert again.continued == {**USUAL, "encoder_lr_mult": 0.5}
    with pytest.raises(UserError, match=r"no key 'continued\.warm': 'warm' is unknown"):
        apply_overrides(again, ["continued.warm=3"])
    path.write_text("stage = 'knn'\n")
    with pytest.raises(UserError, match="no key 'start'"):
        load_config(str(path), overrides=["start=runs:/1"])


def test_text_stays_text() -> None:
    config = Config({"root": "data", "preview": None})
    apply_overrides(config, ["root=5", "preview=photos"])
    assert (config.root, config.preview) == ("5", "photos")
    apply_overrides(config, ["root='5'"])
    assert config.root == "5"


def test_text_may_hold_an_equals_sign() -> None:
    config = Config({"root": ""})
    apply_overrides(config, ["root=data/size=30"])
    assert config.root == "data/size=30"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("k", "override 'k' is not key=value"),
        ("kk=3", "no key 'kk': 'kk' is unknown: did you mean 'k'?"),
        ("train_dta.data=x", "no key 'train_dta.data': 'train_dta' is unknown: did you mean"),
        ("train_data.dat=x", "'dat' is unknown: did you mean 'data'? Choices: data, transform"),
        ("pixels.mean.3=x", "no key 'pixels.mean.3': '3' is unknown"),
        ("k.a=3", "no key 'k.a': 'a' is unknown"),
        ("k=many", "'k=many': expected a number like 20"),
        ("k={'a': 1}", "expected a number like 20"),
        ("train_data=here", "'train_data=here': expected a dict like {'data': "),
        ("k=[20]", "'k=[20]': expected a number like 20"),
        ("k=True", "expected a number like 20"),
        ("k=1e999", "inf is not finite"),
        ("k=9223372036854775808", "expected a number like 20"),
        (f"k={'9' * 5000}", "expected a number like 20"),
        ("k=0x" + "f" * 5000, "the number is too large"),
        ("k=b'a'", "a bytes cannot be part of a config"),
        ("k={1}", "a set cannot be part of a config"),
        ("k=" + "[" * 5000, "expected a number like 20"),
        ("k={[]: 1}", "expected a number like 20"),
        ("pixels.mean=3", "expected a list like [72.9, "),
        ("pixels.mean=['a', 'b', 'c']", "expected a list like [72.9, "),
        ("pixels.mean=[True, 1, 1]", "expected a list like [72.9, "),
        ("pixels.mean=[1e999]", "inf is not finite"),
        ("pixels.mean.²=3", "no key 'pixels.mean.²': '²' is unknown"),
        ("pixels={'mean': 3}", "expected a dict like {'mean': "),
        ("pixels={1: 3}", "the key 1 is no plain text"),
        ("train_data={'transform': 1}", "expected a dict like {'data': "),
        ("train_data.data={{$HOME:x}}", "'{{' begins a variable of mmengine"),
        ("train_data={'data': '{{ fileDirname }}'}", "'{{' begins a variable of mmengine"),
        ("train_data.data=\udcff", "it is no text in UTF-8"),
        ("pool=['cls', '{{ a }}']", "'{{' begins a variable of mmengine"),
        ("=3", "no key '': '' is unknown"),
        ("..=3", "no key '..': '' is unknown"),
        ("pixels.mean=grey", "'pixels.mean=grey': expected a list like [72.9, "),
    ],
)
def test_a_wrong_override_names_the_nearest_key(override: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load_config(KNN, overrides=[override])
    assert message in str(error.value)


def test_a_side_may_become_two_and_a_round_float_a_whole_number() -> None:
    config = load_config(KNN, overrides=["encoder.img_size=(32, 128)", "k=1e1"])
    assert tuple(config.encoder.img_size) == (32, 128)
    assert config.k == 10 and type(config.k) is int


STAGES = ["knn", "linear_probe", "pretrain", "finetune", "few_shot", "segment", "benchmarks"]
CONFIGS = {
    stage: load_config(min(str(path) for path in (CONFIG_ROOT / stage).glob("*demo*.py")))
    for stage in STAGES
}
LITERALS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from([10**400, b"a", 1j, "{{ a }}", "{{$HOME:x}}", "\ud800", "\0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=2)
    ),
    max_leaves=4,
).map(repr)


def keys_of(node: Any, before: str = "") -> Iterator[str]:
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield f"{before}{key}"
        if isinstance(value, dict | list):
            yield from keys_of(value, f"{before}{key}.")


KEYS = [(stage, key) for stage in STAGES for key in keys_of(CONFIGS[stage].to_dict())]


@given(place=st.sampled_from(KEYS), text=LITERALS | st.text())
@example(place=("knn", "encoder"), text="{'\\x00': None}")
@settings(max_examples=200, deadline=None)
def test_any_override_is_refused_or_reads_back_the_same(place: tuple[str, str], text: str) -> None:
    stage, key = place
    config = CONFIGS[stage].copy()
    try:
        apply_overrides(config, [f"{key}={text}"])
    except UserError as error:
        assert key in str(error)
        return
    with tempfile.NamedTemporaryFile(suffix=".py") as file:
        Path(file.name).write_text(text_of(config))
        assert Config.fromfile(file.name).to_dict() == config.to_dict()


def text_of(config: Config) -> str:
    return Config(config.to_dict(), format_python_code=False).pretty_text

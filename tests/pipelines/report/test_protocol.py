from pathlib import Path

import pytest

from mae_core.config import CONFIG_ROOT, load_config
from pipelines.report.protocol import cases_of, protocol
from pipelines.stored_config import parse_config

CONFIGS = [p for p in sorted(CONFIG_ROOT.rglob("[!_]*.py")) if p.parent.name != "_base_"]
KNN, FEW_SHOT = "knn/vit-micro-p6_k20_demo", "few_shot/vit-micro-p6_600ep_demo"
FINETUNE = "finetune/vit-micro-p6_1xb64-40e_demo-250"
DATA = {"demo/classification/train": "aaaa", "demo/classification/test": "bbbb"}
MOVED = {"elsewhere/train": "aaaa", "elsewhere/val": "bbbb"}
ELSEWHERE = ("train_data.data=elsewhere/train", "val_data.data=elsewhere/val")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_read_back_from_its_dump_without_being_executed(
    path: Path, tmp_path: Path
) -> None:
    config = load_config(str(path))
    config.dump(str(tmp_path / "dump.py"))
    assert parse_config((tmp_path / "dump.py").read_text()) == config.to_dict()


@pytest.mark.parametrize("text", ["import os", "a = open('x')", "a = dict(b=exit())", "a.b = 1"])
def test_a_config_with_code_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_config(text)


def config(name: str, *overrides: str) -> dict[str, object]:
    return load_config(name, overrides=overrides).to_dict()


@pytest.mark.parametrize(
    "override",
    ["seed=3", "train_dataloader.num_workers=4", "encoder.drop_path=0.3", "log_level=DEBUG"],
)
def test_encoder_seed_and_speed_are_no_part_of_the_protocol(override: str) -> None:
    changed = config(FINETUNE, override)
    assert changed != config(FINETUNE)
    assert protocol(changed, DATA) == protocol(config(FINETUNE), DATA)


def test_what_decides_a_number_is_part_of_the_protocol() -> None:
    assert protocol(config(KNN, "k=5"), DATA) != protocol(config(KNN), DATA)
    assert protocol(config(KNN, "pool=cls"), DATA) != protocol(config(KNN), DATA)
    for name in (KNN, FEW_SHOT):
        assert protocol(config(name, "standardize=True"), DATA) != protocol(config(name), DATA)


def test_data_are_their_content_wherever_they_lie() -> None:
    moved = config(KNN, *ELSEWHERE)
    assert protocol(moved, MOVED) == protocol(config(KNN), DATA)
    assert protocol(moved, {**MOVED, "elsewhere/val": "cccc"}) != protocol(config(KNN), DATA)


def test_cases_are_the_val_data_and_where_they_are_drawn_also_the_draw() -> None:
    known = cases_of(config(KNN), DATA)
    assert known is not None
    train = ("k=5", "seed=1", "train_data.data=elsewhere/train", "val_data.transform.crop_pct=0.9")
    assert cases_of(config(KNN, *train), {**DATA, **MOVED}) == known
    assert cases_of(config(KNN), {**DATA, "demo/classification/test": "cccc"}) != known
    assert cases_of(config(KNN), {}) is None
    drawn = cases_of(config(FEW_SHOT), DATA)
    for override in ("seed=1", "queries=5", "episodes=10", "novel_classes=['a', 'b']"):
        assert cases_of(config(FEW_SHOT, override), DATA) != drawn


def test_a_table_with_two_roots_is_two_data_sets() -> None:
    def with_roots(first: str, second: str) -> dict[str, object]:
        table = {"data": "x.csv", "transform": {}}
        sets = {"train_data": {**table, "root": first}, "val_data": {**table, "root": second}}
        return {**config(KNN), **sets}

    digests = {"x.csv with root=a": "1", "x.csv with root=b": "2"}
    there = {"x.csv with root=c": "1", "x.csv with root=d": "2"}
    kept, swapped = with_roots("a", "b"), with_roots("b", "a")
    assert protocol(kept, digests) == protocol(with_roots("c", "d"), there)
    assert protocol(kept, digests) != protocol(swapped, digests)
    assert cases_of(kept, digests) == cases_of(with_roots("c", "d"), there)
    assert cases_of(kept, digests) != cases_of(swapped, digests)


def test_what_is_seen_of_a_case_makes_it_no_other() -> None:
    plain, seen = config(KNN), config(KNN)
    as_stored = {"bands": "all", "in_chans": 12, "clip": [0, 9], "log1p": True, "fill": 0}
    for keys in (as_stored, {"bits": 12}, {"in_chans": 1}):
        seen["val_data"] = {**plain["val_data"], **keys}  # type: ignore[dict-item]
        assert cases_of(seen, DATA) == cases_of(plain, DATA)
        assert protocol(seen, DATA) != protocol(plain, DATA)

import logging
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import Tensor

from mae_core.checkpoints import save_encoder
from mae_core.config import load_config
from mae_core.encoders import create_encoder, register_encoder
from mae_core.encoders.base import Encoder
from pipelines.cells.cell import Cell
from pipelines.cells.facts import encoder_facts
from pipelines.cells.folder import read_record
from pipelines.cells.job import LINEAGE, prepare

TINY = {"arch": "vit-micro-p6", "img_size": 12, "width": 16, "depth": 1, "heads": 2}
PIXELS = {"mean": [0.0], "std": [255.0]}


@register_encoder("no-meta", {"no-meta": {}})
class NoMeta(Encoder):
    """An encoder that cannot run without numbers."""

    def __init__(self, img_size: int = 8, in_chans: int = 1) -> None:
        super().__init__()
        self.img_size, self.config = (img_size, img_size), {"in_chans": in_chans}
        self.weight = torch.nn.Parameter(torch.ones(3))

    def forward(self, images: Tensor) -> Tensor:
        return images * float(images.sum() + self.weight.sum())


def config(**fields: object) -> Config:
    return Config({"stage": "knn", "encoder": fields, "pixels": PIXELS})


def test_an_encoder_without_a_file_is_told_by_its_config() -> None:
    encoder = create_encoder(**TINY)
    assert encoder_facts(config(**TINY), "random") == {
        "encoder.protocol": "own",
        "encoder.arch": "vit-micro-p6",
        "encoder.family": "vit",
        "encoder.input_size": "12x12",
        "encoder.parameters": str(sum(p.numel() for p in encoder.parameters())),
        "encoder.gflops": "4.614e-05",
    }


def test_a_file_says_its_licence_and_the_recipe_its_protocol(tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, create_encoder(**TINY), licence="cc-by-nc-4.0")
    found = encoder_facts(Config({"encoder": TINY, "protocol": "same"}), str(path))
    assert found["encoder.licence"] == "cc-by-nc-4.0"
    assert found["encoder.protocol"] == "same"
    assert found["encoder.input_size"] == "12x12"


def test_a_stage_without_an_encoder_in_its_config_tests_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "classifier.safetensors"
    save_encoder(path, create_encoder(**TINY))
    found = encoder_facts(Config({"stage": "evaluate"}), str(path))
    assert found["encoder.input_size"] == "12x12"
    assert int(found["encoder.parameters"]) > 0


def test_what_cannot_be_counted_is_left_out_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        found = encoder_facts(config(arch="no-meta"), "random")
    assert found["encoder.parameters"] == "3" and "encoder.gflops" not in found
    assert "what {'arch': 'no-meta'} costs is not known" in caplog.text


def test_an_encoder_that_cannot_be_built_costs_no_result(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        found = encoder_facts(config(arch="nothing"), "random")
    assert found == {"encoder.protocol": "own", "encoder.arch": "nothing"}
    assert "no architecture is called 'nothing'" in caplog.text


def test_they_are_written_down_with_what_else_becomes_a_tag(tmp_path: Path) -> None:
    of_stage = load_config("knn/vit-micro-p6_k20_demo", "", ["seed=0"])
    of_stage.encoder.update(TINY)
    for key in ("train_data", "val_data"):
        of_stage[key].data = str(Path(__file__).parent)
    cell = Cell("knn", "random", "random", of_stage)
    prepare(cell, tmp_path)
    known = read_record(tmp_path / LINEAGE)
    assert encoder_facts(of_stage, "random").items() <= known.items()
    assert known["encoder.gflops"] == "4.614e-05"

"""A cell's folder has a name that a shell, MLflow and any system take."""

from pathlib import Path

import pytest

from pipelines.cells.cell import folder_name


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ("mae", "mae"),
        ("/data/my.encoders/vit base.safetensors", "vit base"),
        ("timm:resnet50.a1_in1k", "timm-resnet50.a1_in1k"),
        ("timm:resnet50@random", "timm-resnet50-random"),
        ("timm:resnet50@/data/my weights.v2.pth", "timm-resnet50-my weights.v2"),
        ("runs:/0123abc", "0123abc"),
        ("models:/mae-encoder@best-linear", "mae-encoder-best-linear"),
        ("x" * 300, "x" * 100),
    ],
)
def test_a_rows_name_in_a_folder(row: str, name: str, tmp_path: Path) -> None:
    assert folder_name(row) == name
    (tmp_path / name).mkdir()

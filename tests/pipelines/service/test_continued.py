"""A benchmark of a pretraining, of one that goes on from weights, and of these weights."""

import json
from pathlib import Path

from mae_core import create_encoder
from mae_core.checkpoints import save_encoder
from pipelines.identity import content_of
from pipelines.service.flow import mae_full_benchmark
from pipelines.tracking.tracker import Tracker
from tests.tiny import write_recipe


def test_rows_with_and_without_a_start_stand_side_by_side(
    configs: Path, prefect: None, tracker: Tracker, tmp_path: Path
) -> None:
    own, pretrain = str(tmp_path / "own.safetensors"), str(configs / "pretrain.py")
    made = create_encoder("vit-micro-p6", img_size=12, width=16, depth=1, heads=2)
    save_encoder(own, made, licence="cc-by-nc-4.0")
    rows = {"mae": pretrain, "continued": pretrain, "published": own}
    recipe = str(write_recipe(configs, ("knn",), rows))
    given = [
        "pretrain.train_cfg.max_epochs=2",
        f"pretrain[continued].start={own}",
        "pretrain[continued].continued.warmup_updates=2",
    ]
    mae_full_benchmark(recipe, str(tmp_path / "work"), given, strict=True)
    found = tracker.client.search_runs([tracker.experiment])
    runs = {run.info.run_name: run for run in found}
    tags = {name: run.data.tags for name, run in runs.items()}
    assert {"pretrain[mae]", "knn[mae]", "knn[continued]", "knn[published]"} <= runs.keys()
    lineage = tags["pretrain[continued]"]
    assert lineage["encoder_spec"] == own and lineage["encoder_digest"] == content_of(own)
    assert lineage["encoder.licence"] == "cc-by-nc-4.0"
    assert "encoder_spec" not in tags["pretrain[mae]"]
    assert tags["knn[continued]"]["encoder_run"] == runs["pretrain[continued]"].info.run_id
    assert tags["knn[continued]"]["encoder.licence"] == "cc-by-nc-4.0"
    page = json.loads((tmp_path / "work" / "report" / "report.json").read_text())
    assert [row["encoder"] for row in page["rows"]] == ["mae", "continued", "published"]
    mae_full_benchmark(recipe, str(tmp_path / "work"), given, strict=True)
    again = tracker.client.search_runs([tracker.experiment])
    cells = [[r.info.run_id for r in of if "[" in r.info.run_name] for of in (found, again)]
    assert len(cells[0]) == 5 and sorted(cells[0]) == sorted(cells[1])

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from mae_core.stage import Metric, StageResult
from pipelines.tracking.tracker import Tracker

FIRST, SECOND = "a/encoder.safetensors", "b/encoder.safetensors"
RESULTS = {
    "pretrain[mae]": {
        "pretrain/loss": Metric(0.5),
        "pretrain/images": Metric(199680.0),
        "pretrain/petaflop": Metric(0.0145),
    },
    "knn[mae]": {"knn/top1": Metric(0.75, 0.02)},
    f"knn[{FIRST}]": {"knn/top1": Metric(0.5, 0.03)},
    f"knn[{SECOND}]": {"knn/top1": Metric(0.25, 0.03)},
    "detect[mae]": {"detect/box_AP50": Metric(0.4), "detect/box_AP": Metric(0.2)},
    "few-shot[mae]": {
        "few-shot/5way1shot": Metric(0.6, 0.01),
        "few-shot/5way5shot": Metric(0.7, 0.01),
    },
}
CAUSE = "the device is gone: <cuda & co>"


class Written(NamedTuple):
    parent: str
    runs: dict[str, str]
    colours: dict[str, tuple[int, int, int]]


@pytest.fixture
def written(tracker: Tracker, tmp_path: Path) -> Written:
    """A benchmark in MLflow as the flow leaves it; each cell's picture has its own colour."""
    parent = tracker.start("tiny", {"recipe": "tiny", "stage": "benchmark"})
    tracker.tag(parent, encoders=json.dumps(["mae", FIRST, SECOND]))
    runs, colours = {}, {}
    for number, (name, metrics) in enumerate(RESULTS.items()):
        stage, encoder = name.rstrip("]").split("[")
        made_by = runs["pretrain[mae]"] if encoder == "mae" and stage != "pretrain" else ""
        tags = {"stage": stage, "encoder": encoder, "encoder_run": made_by}
        runs[name] = tracker.start(name, tags, parent)
        if stage == "pretrain":
            for step, loss in ((10, 0.9), (20, 0.5)):
                tracker.points(runs[name], {"loss": loss}, step)
        kind = "reconstruction" if stage == "pretrain" else "overlay"
        picture = tmp_path / str(number) / f"{kind}.png"
        picture.parent.mkdir()
        colours[name] = (number, 10, 20)
        Image.new("RGB", (4, 4), colours[name]).save(picture)
        tracker.finish(runs[name], StageResult(metrics, None, {"picture": str(picture)}))
    failed = {f"detect[{FIRST}]": CAUSE}
    tracker.tag(parent, cells=json.dumps(runs), failed=json.dumps(failed))
    tracker.end(parent, "FAILED")
    return Written(parent, runs, colours)

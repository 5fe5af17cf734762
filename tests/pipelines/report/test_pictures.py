import json
from pathlib import Path

from PIL import Image

from downstream.analysis import stage as analyze
from mae_core.engine.config import load_config
from mae_core.stage import SilentReporter
from pipelines.report.collect import collect
from pipelines.report.pictures import CAPTIONS, pictures
from pipelines.tracking import Tracker

TINY = {"img_size": 12, "width": 16, "depth": 1, "heads": 2}


def test_every_picture_of_the_stage_analyze_is_shown_with_a_caption(
    images: Path, tracker: Tracker, tmp_path: Path
) -> None:
    config = load_config("analyze/vit-micro-p6_demo", "", ["val_data.transform.input_size=12"])
    config.encoder.update(TINY)
    config.val_data.data = str(images / "train")
    result = analyze.run(config, "random", tmp_path, SilentReporter())
    parent = tracker.start("tiny", {"recipe": "tiny", "stage": "benchmark"})
    child = tracker.start("analyze[mae]", {"stage": "analyze", "encoder": "mae"}, parent)
    tracker.finish(child, result)
    tracker.tag(parent, encoders='["mae"]', cells=json.dumps({"analyze[mae]": child}))
    shown = pictures(collect(parent, tracker))
    assert [one.caption for one in shown] == [
        f"{caption}: mae" for kind, caption in CAPTIONS.items() if kind.startswith("analyze")
    ]
    assert {one.section for one in shown} == {"What the encoder sees"}
    drawn = [Path(path).read_bytes() for path in result.artifacts.values()]
    assert [one.png for one in shown] == drawn
    assert all(Image.open(path).size[0] > 200 for path in result.artifacts.values())

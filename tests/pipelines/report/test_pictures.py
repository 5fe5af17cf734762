import json
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from downstream.analysis import stage as analyze
from mae_core.config import load_config
from mae_core.stage import SilentReporter
from pipelines.report.collect import collect
from pipelines.report.pictures import file_names, pictures
from pipelines.stages import card_of
from pipelines.tracking.tracker import Tracker

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
        f"{caption}: mae" for caption in card_of("analyze").captions.values()
    ]
    assert {one.section for one in shown} == {"What the encoder sees"}
    drawn = [Path(path).read_bytes() for path in result.artifacts.values()]
    assert [one.png for one in shown] == drawn
    assert all(Image.open(path).size[0] > 200 for path in result.artifacts.values())


HOSTILE = [
    *("a/epoch=9-step=1000.ckpt", "b/epoch=9-step=1000.ckpt", "a,b.pth", "x(1)+%@.pth", "$x^$"),
    *("..", "/", "", "timm:vit_base", "runs:/0a", "a" * 300, "A.pth", "a.pth", "ä\udcff|<b>`\n"),
]


@given(names=st.lists(st.text() | st.sampled_from(HOSTILE), unique=True, max_size=6))
def test_any_encoder_has_a_name_of_its_own_that_mlflow_takes(names: list[str]) -> None:
    files = file_names(names)
    assert list(files) == names
    assert len({file.lower() for file in files.values()}) == len(names)
    assert all(re.fullmatch(r"[0-9A-Za-z._-]{1,100}", file) for file in files.values())


def test_usual_names_stay_and_equal_ones_are_numbered() -> None:
    assert file_names(["mae", "random", "a/enc.pth", "b/enc.pth", "vit_base"]) == {
        "mae": "mae",
        "random": "random",
        "a/enc.pth": "enc-3",
        "b/enc.pth": "enc-4",
        "vit_base": "vit_base",
    }

"""A benchmark of eleven rows of all kinds in MLflow, as its flow leaves it."""

import json

import numpy as np

from mae_core.stage import Metric, StageResult
from pipelines.tracking.tracker import Tracker

DINO = "timm:vit_small_patch14_dinov2.lvd142m"
NET = "timm:convnextv2_atto.fcmae@/weights/convnextv2_atto.safetensors"
FRESH = "timm:convnextv2_atto@random"
FILE = "/data/encoders/of-a-colleague/vit-small-p16_satellite-imagery_800e.safetensors"
SMALL, ATTO, LITE = "vit-small-p16", "timm:convnextv2_atto", "timm:tf_efficientnet_lite0"
ROWS = {  # encoder's run tags, and about how good it is
    "mae": ("vit-micro-p6", "vit", "685344", "0.053", "36x36", "", 0.70),
    "mae-long": ("vit-micro-p6", "vit", "685344", "0.053", "36x36", "", 0.74),
    DINO: (DINO, "timm", "22056576", "93.77", "518x518", "apache-2.0", 0.80),
    "convnext": (ATTO, "timm", "3387400", "1.094", "224x224", "cc-by-nc-4.0", 0.77),
    FILE: (SMALL, "vit", "21665664", "9.198", "224x224", "", 0.66),
    "lite0": (LITE, "timm", "3372928", "0.7678", "224x224", "apache-2.0", 0.72),
    "random": ("vit-micro-p6", "vit", "685344", "0.053", "36x36", "", 0.55),
    "supervised": ("vit-micro-p6", "vit", "685344", "0.053", "36x36", "", 0.73),
    FRESH: (ATTO, "timm", "3387400", "", "224x224", "", 0.50),
    "pixels": ("pixels", "pixels", "0", "0", "36x36", "", 0.45),
    "rcf": ("rcf", "rcf", "0", "0.01", "36x36", "", 0.48),
}  # fmt: skip
SPECS = {"convnext": NET, "lite0": "timm:tf_efficientnet_lite0@package"}
TASKS = {
    "finetune": ("fine-tune/top1",),
    "linear-probe": ("linear-probe/top1",),
    "knn": ("knn/top1",),
    "few-shot": tuple(f"few-shot/{w}way{s}shot" for w in (5, 10) for s in (1, 5)),
    "low-shot": tuple(f"low-shot/{n}pct_{how}" for n in (1, 10) for how in ("probe", "finetune")),
    "detect": ("detect/box_AP", "detect/box_AP50", "detect/mask_AP", "detect/mask_AP50"),
    "segment": ("segment/mIoU",),
}
FROZEN = ("linear-probe", "knn", "few-shot")
REASON = "needs an encoder that has weights that can be trained"


def many_rows(tracker: Tracker) -> str:
    """The id of the benchmark's run."""
    rng = np.random.default_rng(0)
    parent = tracker.start("many", {"recipe": "many", "stage": "benchmark"})
    cells: dict[str, str] = {}
    left_out = {}
    for encoder, (arch, family, parameters, gflops, size, licence, level) in ROWS.items():
        tags = {"arch": arch, "family": family, "parameters": parameters, "gflops": gflops}
        tags |= {"input_size": size, "licence": licence, "protocol": "own"}
        tags = {f"encoder.{name}": text for name, text in tags.items() if text}
        if encoder in SPECS:
            tags["encoder_spec"] = SPECS[encoder]
        made = {"mae": "pretrain", "mae-long": "pretrain", "supervised": "supervise"}
        if stage := made.get(encoder):
            name = f"{stage}[{encoder}]"
            cells[name] = tracker.start(name, {"stage": stage, "encoder": encoder, **tags}, parent)
            for step in range(40 if stage == "pretrain" else 0):
                loss = (1.1 - level) + 0.5 / (1 + step / 5) + rng.normal(0, 0.01)
                tracker.points(cells[name], {"loss": loss}, step)
            tracker.end(cells[name], "FINISHED")
        for stage, metrics in TASKS.items():
            name = f"{stage}[{encoder}]"
            if encoder in ("pixels", "rcf") and stage not in FROZEN:
                left_out[name] = REASON
                continue
            if (stage, encoder) in (("detect", "lite0"), ("segment", "supervised")):
                continue
            own = {"stage": stage, "encoder": encoder, "seed": "0"}
            cells[name] = tracker.start(name, {**own, **tags}, parent)
            found = {}
            for place, metric in enumerate(metrics):
                value = level - 0.05 * place + rng.normal(0, 0.03)
                found[metric] = Metric(float(np.clip(value, 0, 1)), 0.02)
            tracker.finish(cells[name], StageResult(found, labels=250))
    failed = {"detect[lite0]": "the device is gone"}
    tracker.tag(
        parent,
        encoders=json.dumps(list(ROWS)),
        cells=json.dumps(cells),
        failed=json.dumps(failed),
        left_out=json.dumps(left_out),
    )
    tracker.end(parent, "FAILED")
    return parent

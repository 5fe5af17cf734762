"""What somebody has who follows the pages: images, annotations, copied configs, checkpoints.

Only the sizes are other ones: few images, few epochs, one CPU.
"""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from downstream.examples.write import write_example
from mae_core.data.demo.coco import coco_file
from tests.bands import write_fields
from tests.docs.pages import ROOT
from tests.downstream.conftest import square
from tests.downstream.dense.convert.sources import write_voc, write_yolo

CLASSES = ("cat", "dog")
TRAIN, VAL = 16, 6  # images a class
SIDE = 32

PRETRAIN = """
train_dataloader["batch_size"] = 16
train_dataloader["num_workers"] = 0
train_dataloader["persistent_workers"] = False
train_cfg["max_epochs"] = 1
"""
FEATURES = "batch_size = 8\n"
DATA = """
train_data = dict(data="data/train", transform=dict(input_size={side}, crop_pct=1.0))
val_data = dict(data="data/val", transform=dict(input_size={side}, crop_pct=1.0))
"""
ENCODER = "encoder = dict(arch='vit-base-p16', width=96, depth=4, heads=3)\n"
DEMO = DATA.format(side=30)
# What is appended to a shipped config, by its name.
SHRUNK = {
    "pretrain/vit-micro-p6_1xb128-24e_demo": PRETRAIN
    + "train_dataloader['dataset']['data'] = 'data/train'\npreview['data'] = 'data/val'\n",
    "pretrain/vit-micro-p4_1xb128-coslr-20e_small32": PRETRAIN,
    "pretrain/vit-tiny-p4_1xb256-amp-coslr-100e_small32": PRETRAIN,
    "knn/vit-micro-p6_k20_demo": DEMO + FEATURES + "k = 5\nmore_k = (10,)\n",
    "retrieval/vit-micro-p6_demo": DEMO + FEATURES + "ks = (1, 5)\n",
    "knn/vit-micro-p4_k20_cifar10-20pct": FEATURES + "k = 5\nmore_k = (10,)\n",
    "linear_probe/vit-micro-p4_1xb512-60e_cifar10-20pct": FEATURES
    + "train_data = dict(part=None)\nheld_out = 0.25\nrates = (1e-3, 1e-2)\n"
    "train_dataloader = dict(batch_size=8)\ntrain_cfg = dict(max_epochs=2)\n",
    "suite/vit-micro-p6_demo": "examples = (24, 8)\n"
    "datasets = [dict(name='mine', group='natural',\n"
    "    train_data=dict(data='data/train', transform=dict(input_size=30, crop_pct=1.0)),\n"
    "    val_data=dict(data='data/val', transform=dict(input_size=30, crop_pct=1.0)))]\n",
    "analyze/vit-micro-p6_demo": DEMO + FEATURES,
    "low_shot/vit-micro-p4_cifar10": FEATURES
    + "sets = [dict(name='half', share=0.5, splits=2, epochs=1)]\n"
    "scratch = dict(sets=[dict(name='half', share=0.5, splits=2, epochs=1)])\n"
    "train_dataloader = dict(batch_size=8)\n",
    "segment/upernet_vit-base-p16_1xb16-amp-auto": ENCODER
    + "updates = 4\ntest_loader = dict(num_workers=0)\n"
    "train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)\n"
    "model = dict(backbone=dict(layers=[0, 1, 2, 3]), decode_head=dict(channels=16))\n",
}


def write_all(home: Path) -> Path:
    """Everything below `home`; the shipped configs, smaller, in the folder that is returned."""
    rng = np.random.default_rng(0)
    photos(rng, home / "photos")
    write_fields(home / "sentinel")
    for folder in ("data", "images"):
        shutil.copytree(home / "photos", home / folder)
    write_example("bands", home / "data" / "bands", str(home / "photos" / "train"), images=12)
    write_example("scenes", home / "data" / "scenes", images=12)
    tables(home)
    (home / "shards" / "train").mkdir(parents=True)
    with tarfile.open(home / "shards" / "train" / "0.tar", "w") as shard:
        shard.add(home / "photos" / "train", ".")
    for name in ("photo1.jpg", "photo2.jpg", "a.jpg", "b.jpg"):
        Image.fromarray(picture(rng, 0)).save(home / name)
    scenes(rng, home / "data" / "mine")
    boxes(home)
    configs = home / "installed" / "configs"
    shutil.copytree(ROOT / "configs", configs)
    for name, text in SHRUNK.items():
        path = configs / f"{name}.py"
        path.write_text(path.read_text() + text)
    for own, shipped in {
        "my_pretrain.py": "pretrain/vit-micro-p4_1xb128-coslr-20e_small32",
        "my_probe.py": "linear_probe/vit-micro-p4_1xb512-60e_cifar10-20pct",
    }.items():
        shutil.copy(configs / f"{shipped}.py", home / own)
    return configs


def tables(home: Path) -> None:
    """`labels.csv` with the photos' paths, others with other names of columns and other labels."""
    rows = []
    for path in sorted((home / "photos").rglob("*.jpg")):
        split, label, name = path.relative_to(home / "photos").parts
        rows.append((f"{split}/{label}/{name}", label, split, f"patient{len(rows) // 3}"))
    for name, head, below in (("labels", "path,label", "photos/"), ("patients", "img,label", "")):
        last = "group" if name == "labels" else "patient"
        lines = [f"{head},split,{last}", *(below + ",".join(row) for row in rows)]
        (home / f"{name}.csv").write_text("\n".join(lines))
    findings, ages = ["path,Finding Labels,Edema,Mass"], ["path,age"]
    for number, (path, *_) in enumerate(rows):
        edema, mass = number % 2, number // 2 % 2
        names = "|".join(["Edema"] * edema + ["Mass"] * mass) or "No Finding"
        findings.append(f"photos/{path},{names},{edema},{mass}")
        ages.append(f"photos/{path},{20 + number}.5")
    (home / "findings.csv").write_text("\n".join(findings))
    (home / "ages.csv").write_text("\n".join(ages))


def picture(rng: np.random.Generator, label: int) -> np.ndarray:
    """A photo (SIDE, SIDE, 3); classes differ in where the light is."""
    image = rng.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
    image[:, label * SIDE // 2 :][:, : SIDE // 2] += 120
    return image


def photos(rng: np.random.Generator, folder: Path) -> None:
    """`folder/{train,val}/<class>/*.jpg`."""
    for split, count in (("train", TRAIN), ("val", VAL)):
        for label, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                image = Image.fromarray(picture(rng, label))
                image.save(folder / split / name / f"{split}{i}.jpg")


def scenes(rng: np.random.Generator, folder: Path) -> None:
    """Images, annotations and masks of two classes, small squares and large ones."""
    drawn = {f"{i:02}.png": square(rng, i % 2) for i in range(20)}
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for name, scene in drawn.items():
        Image.fromarray(scene.image).save(folder / "images" / name)
        Image.fromarray((scene.semantic() > 0).astype(np.uint8)).save(folder / "masks" / name)
    content = coco_file(drawn, ("small", "large"), "images")
    (folder / "annotations.json").write_text(json.dumps(content))
    for entry in content["annotations"]:
        del entry["segmentation"]
    write_voc(content, folder / "xml")
    write_yolo(content, folder / "labels")


def boxes(home: Path) -> None:
    """`boxes.json`: a box in each of the photos."""
    files = sorted((home / "photos").rglob("*.jpg"))
    images, annotations = [], []
    for number, path in enumerate(files, start=1):
        name = str(path.relative_to(home / "photos"))
        images.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
        corners = [4, 4, 20, 4, 20, 24, 4, 24]
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "bbox": [4, 4, 16, 20],
                "area": 320,
                "iscrowd": 0,
                "segmentation": [corners],
            }
        )
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "animal"}],
    }
    (home / "boxes.json").write_text(json.dumps(content))

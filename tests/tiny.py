"""Data, configs and faults that are small enough for a test of a second or two."""

from pathlib import Path

import numpy as np
from PIL import Image

from mae_core import create_encoder
from mae_core.checkpoints import save_weights

CONFIGS = Path(__file__).parents[1] / "configs"
ENCODER = "dict(img_size=12, width=16, depth=1, heads=2)"
IMAGES = "dict(data='{data}/{split}', transform=dict(input_size=12))"


def write_images(folder: Path, classes: int = 2, train: int = 8, val: int = 6) -> Path:
    """12x12 grey photos in `folder/{train,val}/<class>`; classes differ in where the light is."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for label in range(classes):
            (folder / split / f"class-{label}").mkdir(parents=True)
            for i in range(count):
                image = rng.integers(0, 90, (12, 12), dtype=np.uint8)
                image[:, 6 * (label % 2) :][:, :6] += 120
                Image.fromarray(image).save(folder / split / f"class-{label}" / f"{i}.png")
    return folder


def write_configs(folder: Path, data: Path) -> Path:
    """The demo's stage configs, shrunk, on `data`, as `folder/<stage>.py`.

    The two trainings listen to the files `folder/<stage>.fault`, see tests/faults.py.
    """
    folder.mkdir(parents=True, exist_ok=True)
    train, val = (IMAGES.format(data=data, split=split) for split in ("train", "val"))
    features = f"train_data = {train}\nval_data = {val}\nbatch_size = 8\n"
    loaders = (
        f"train_dataloader = dict(batch_size=4, dataset=dict(**{train}, per_class=None))\n"
        "auto_scale_lr = dict(enable=False)\n"
        "custom_imports = dict(imports=['tests.faults'])\n"
    )
    contents = {
        "pretrain": f"{loaders}preview = {val}\ntrain_cfg = dict(max_epochs=6)\n"
        "mae = dict(decoder_width=16, decoder_depth=1, decoder_heads=2)\n",
        "finetune": f"{loaders}val_dataloader = dict(dataset={val})\n"
        "train_cfg = dict(max_epochs=4, val_interval=2)\n"
        "scratch = dict(train_cfg=dict(max_epochs=2))\n",
        "evaluate": f"sets = [dict(name='val', data='{data}/val')]\n"
        "transform = dict(input_size=12)\nbatch_size = 8\nnum_workers = 0\n",
        "knn": f"{features}k = 3\nmore_k = ()\n",
        "retrieval": f"{features}ks = [1, 2]\n",
        "linear-probe": f"{features}pool = 'last1'\nrates = (1.0,)\ndecays = (0.0,)\n"
        "held_out = 0.2\noptim_wrapper = dict(optimizer=dict(lr=0.5))\n"
        "train_dataloader = dict(batch_size=8)\ntrain_cfg = dict(max_epochs=2)\n"
        "schedule = dict(warmup_epochs=1)\n",
        "supervise": f"{loaders}val_dataloader = dict(dataset={val})\n"
        "train_cfg = dict(max_epochs=2, val_interval=2)\n",
        "few-shot": f"{features}episodes = 5\nqueries = 1\nsettings = [(2, 1), (2, 5)]\n",
    }
    for stage, content in contents.items():
        found = (CONFIGS / stage.replace("-", "_")).glob("*_demo*.py")
        base = min(found, key=lambda path: len(path.name))  # that of the recipe
        hook = f"custom_hooks = [dict(type='Fault', file='{folder / stage}.fault')]\n"
        head = f"_base_ = ['{base}']\nencoder = {ENCODER}\n"
        text = head + content + (hook if "custom_imports" in content else "")
        (folder / f"{stage}.py").write_text(text)
    return folder


def write_encoder(path: Path) -> str:
    """The path of an encoder of the configs' size, with random weights."""
    encoder = create_encoder("vit-micro-p6", img_size=12, width=16, depth=1, heads=2)
    save_weights(path, encoder, encoder=encoder.config)
    return str(path)


def write_recipe(
    folder: Path, tasks: tuple[str, ...], encoders: tuple[str, ...] | dict[str, str | None]
) -> Path:
    """A recipe over the configs in `folder`; a dict of encoders names its pretrainings itself."""
    named = {task: str(folder / f"{task}.py") for task in tasks}
    path = folder / "tiny.py"
    if isinstance(encoders, dict):
        rows = f"encoders = {encoders}\n"
    else:
        rows = f"pretrain = '{folder / 'pretrain.py'}'\nencoders = {list(encoders)}\n"
    path.write_text(f"seed = 0\nslots = 2\n{rows}tasks = {named}\n")
    return path

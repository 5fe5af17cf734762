"""The skeleton of a dense task: check, build, train, measure, keep, draw; and predict afterwards.

What is a task's own (its data, its metrics, its pictures) it says as a :class:`DenseTask`; the rest
is here. This module imports neither mmdet nor mmseg, which take seconds.
"""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.dist import get_world_size, is_main_process
from mmengine.model import BaseModel
from mmengine.registry import MODELS, TRANSFORMS, init_default_scope
from mmengine.runner import set_random_seed

import downstream.dense.loading
import downstream.dense.pyramid  # noqa: F401  both register
from downstream.dense.backbone import place_encoder
from downstream.dense.data import epochs_for
from downstream.dense.draws import DrawnImages
from downstream.dense.fit_recipe import fit_recipe
from downstream.dense.fit_size import Sides, settle_size
from downstream.dense.maps import EncoderMaps
from downstream.dense.rehearsal import Notes, quiet, rehearsal
from downstream.dense.stored import ModelFile, blaming, to_store
from downstream.dense.trained import check_images, load_trained, own_names
from downstream.drawing import figure_grid, read_image, save
from downstream.scratch import RANDOM, recipe_for, recipes, weights_of
from mae_core.checkpoints import build_encoder, check_sizes, save_weights
from mae_core.data.overlap import tell_overlap
from mae_core.engine.train import build_runner, train, use_average
from mae_core.for_encoder import with_encoder
from mae_core.names import has_file
from mae_core.plots import drawn
from mae_core.stage import Metric, Reporter, SilentReporter, StageResult

SHOWN = 5  # images in the picture
Results = tuple[dict[str, Metric], dict[str, str]]  # metrics and files, by name


class TaskImages(NamedTuple):
    """Annotated images, as mm data sets.

    Attributes:
        train: with the transforms of the training.
        val: to test on, and to draw some of.
        classes: names by label; none where a task predicts no classes.
    """

    train: BaseDataset
    val: BaseDataset
    classes: tuple[str, ...]


@dataclass(frozen=True)
class DenseTask:
    """What a task says of itself; `Any` is its own kind of data, of outcome and of prediction.

    Attributes:
        file: the trained model's.
        read: the config's annotated images, described but not loaded.
        notes: on the data, before a training; may raise UserError.
        complete: fills into the config what follows from the data (after :func:`place_encoder`);
            files go to the folder.
        shorten: for a rehearsal: makes the config quicker, and returns data whose val part has few
            images.
        adapt: the built model as it is trained; may be another one.
        test: runs the model over val; called in all processes, which share the images.
        results: metrics and files from what `test` returned, in the main process.
        steps: transforms, of a completed config, for images without annotations.
        find: what the model finds in one transformed image, on the CPU.
        truth: the same from the annotations of an item of `val`.
        show: draws one of both on an axis above the image (H, W, 3) uint8; which labels it drew.
        legend: names the labels that were drawn, on the figure.
        caption: of a picture, from what was found.
        sides: of the images that the encoder sees, from a completed config; None for any.
        fixed_statistics: whether batch norms of pretrained encoders keep theirs.
        plain_row: whether the image stands above the pictures as it is, too.
    """

    file: ModelFile
    read: Callable[[Config], Any]
    notes: Callable[[Config, Any], list[str]]
    complete: Callable[[Config, Any, Path], TaskImages]
    shorten: Callable[[Config, Any], Any]
    adapt: Callable[[BaseModel], BaseModel]
    test: Callable[[BaseModel, TaskImages, Config, Path, Reporter], Any]
    results: Callable[[Any, TaskImages, Config, Path, Reporter], Results]
    steps: Callable[[Config], list[dict[str, Any]]]
    find: Callable[[BaseModel, Mapping[str, Any]], Any]
    truth: Callable[[Mapping[str, Any]], Any]
    show: Callable[[Any, np.ndarray, Any, Sequence[str]], set[int]]
    legend: Callable[[Any, Sequence[str], set[int]], None]
    caption: Callable[[Any], str] = lambda found: ""
    sides: Callable[[Config], Sides | None] = lambda config: None
    fixed_statistics: bool = False
    plain_row: bool = False


def run_task(
    task: DenseTask, config: Config, encoder: str, work_dir: Path, reporter: Reporter
) -> StageResult:
    """Train on the train images, measure on the val images, as :func:`mae_core.stage` wants it."""
    given, source = recipe_for(config, encoder), weights_of(encoder)
    config = fit_recipe(given, with_encoder(given, source, reporter), reporter)
    encoder = source if has_file(source) else RANDOM
    set_random_seed(config.seed)
    init_default_scope(config.default_scope)
    work_dir.mkdir(parents=True, exist_ok=True)
    data = task.read(config)
    if is_main_process():  # looking at masks takes a while, once is enough
        for note in task.notes(config, data):
            reporter.note(note)
    images = prepare(task, config, encoder, data, work_dir, reporter)
    del data  # gigabytes for COCO, in every process
    model = build(task, config, reporter)
    loaded = {"train_dataloader": DrawnImages(images.train)}
    runner = build_runner(config, model, work_dir, reporter, loaded)
    train(runner)
    use_average(runner)
    result = finish(task, model, images, config, work_dir, reporter)
    return replace(result, labels=len(images.train))


def prepare(
    task: DenseTask, config: Config, encoder: str, data: Any, folder: Path, reporter: Reporter
) -> TaskImages:
    """Fill into `config` what follows from the encoder and the data; the images for mm."""
    place_encoder(config, encoder)
    set_modules_aside()
    images = task.complete(config, data, folder)
    backbone, sides = config.model.backbone, task.sides(config)
    if backbone.type == "EncoderMaps":
        if task.fixed_statistics and encoder != RANDOM:
            backbone.norm_eval = True
        if sides is not None:
            settle_size(config, sides, reporter)
    return images


@cache  # once in a process
def set_modules_aside() -> None:
    """mmengine collects garbage for each data set, and need not look at what was imported."""
    gc.collect()  # what is garbage now would stay
    gc.freeze()


def set_epochs(config: Config, images: int) -> None:
    """Epochs that make `config.updates` of so many images, where the config leaves them open."""
    if config.train_cfg.get("max_epochs", 0) is None:
        batch = config.train_dataloader.batch_size
        config.train_cfg.max_epochs = epochs_for(config.updates, images, batch)


def build(task: DenseTask, config: Config, reporter: Reporter) -> BaseModel:
    """The model of a prepared config, its encoder's weights told."""
    model = task.adapt(MODELS.build(config.model))
    if isinstance(model.backbone, EncoderMaps):
        model.backbone.leave_out_unused()
        if torch.cuda.is_available() and get_world_size() > 1:
            model.backbone.share_statistics()
    reporter.note(model.backbone.origin)
    return model


def finish(
    task: DenseTask,
    model: BaseModel,
    images: TaskImages,
    config: Config,
    folder: Path,
    reporter: Reporter,
) -> StageResult:
    """What follows the training: test the model, keep it, draw; empty beside the main process.

    Args:
        task: whose model it is.
        model: trained.
        images: to test on.
        config: of the stage, prepared.
        folder: for all files.
        reporter: gets progress, and notes of what could not be drawn.
    """
    outcome = task.test(model, images, config, folder, reporter)
    if not is_main_process():
        return StageResult()
    checkpoint = folder / task.file.name
    save_weights(checkpoint, model, classes=images.classes, config=to_store(config))
    draw = partial(draw_dataset, task, model, images.val, images.classes)
    overlay = drawn(folder / "overlay.png", draw, reporter)
    metrics, files = task.results(outcome, images, config, folder, reporter)
    return StageResult(metrics, str(checkpoint), {**overlay, **files})


def check_task(
    stage: str,
    config: Config,
    encoder: str,
    read: Callable[[Config], Any],
    paths: Callable[[Any, str], list[str]],
) -> None:
    """Raise UserError if the data or the encoder's sizes cannot do, or what follows a training.

    Args:
        stage: the module that has the task as `TASK`. It is imported late: mm takes seconds, and
            most mistakes are found without.
        config: of the stage.
        encoder: as the stage takes it.
        read: as the task's, and looks at the images.
        paths: of the images of what was read, of 'train' or 'val'.
    """
    source, said = weights_of(encoder), Notes()
    fitted = [fit_recipe(one, with_encoder(one, source), said) for one in recipes(config, encoder)]
    for recipe in fitted:
        check_sizes(recipe.encoder, source, recipe.get("resample_patches", False))
    data = read(config)
    if config.get("val_data"):
        places = config.train_data.images, config.val_data.images
        tell_overlap(paths(data, "train"), paths(data, "val"), *places)
    with quiet():
        task: DenseTask = import_module(stage).TASK
    for recipe in fitted:
        rehearse(task, recipe, source, data)


def rehearse(task: DenseTask, config: Config, source: str, data: Any) -> None:
    """Try the stage on one image of val, without training. Raises UserError if it fails.

    Also if the weights of `source` do not fit an encoder for images of the task's size.
    """
    with rehearsal(config) as (quick, folder, reporter):
        few = task.shorten(quick, data)
        images = prepare(task, quick, RANDOM, few, folder, reporter)
        if quick.encoder.get("img_size") != config.encoder.get("img_size"):
            build_encoder(dict(quick.encoder), source)
        images.train[0]
        model = build(task, quick, SilentReporter())
        finish(task, model, images, quick, folder, reporter)


@torch.inference_mode()
def draw_dataset(
    task: DenseTask, model: BaseModel, dataset: BaseDataset, classes: Sequence[str], path: Path
) -> None:
    """Ground truth and prediction for a few images of `dataset`."""
    places = np.linspace(0, len(dataset) - 1, min(SHOWN, len(dataset))).astype(int)
    rows = ["ground truth", "prediction"]
    figure, axes = figure_grid(["image", *rows] if task.plain_row else rows, len(places))
    shown: set[int] = set()
    model.eval()
    for column, index in enumerate(places):
        item = dataset[index]
        found = task.find(model, item)
        image = read_image(item["data_samples"].img_path)
        if task.plain_row:
            axes[0, column].imshow(image, interpolation="nearest")
        shown |= task.show(axes[-2, column], image, task.truth(item), classes)
        shown |= task.show(axes[-1, column], image, found, classes)
    task.legend(figure, classes, shown)
    save(figure, path)


class Prediction(NamedTuple):
    """What was found in an image.

    Attributes:
        path: of the image.
        size: its height and width in pixels.
        found: as the task has it.
        classes: names by label.
        picture: the file with what was found.
    """

    path: Path
    size: tuple[int, int]
    found: Any
    classes: tuple[str, ...]
    picture: Path


def predictions(
    task: DenseTask, checkpoint: Path, images: Sequence[Path], out: Path
) -> Iterator[Prediction]:
    """What a trained model finds in any images, each drawn as `<name>.png` in `out`.

    Raises:
        UserError: if the checkpoint is not of this task, or an image is missing or cannot be read.
    """
    check_images(images)
    model, config, classes = load_trained(checkpoint, task.file)
    pipeline = Compose([TRANSFORMS.build(step) for step in task.steps(config)])
    out.mkdir(parents=True, exist_ok=True)
    for number, (path, name) in enumerate(zip(images, own_names(images), strict=True), start=1):
        image = read_image(path)
        with blaming(checkpoint), torch.inference_mode():
            found = task.find(model, pipeline({"img_path": str(path), "img_id": number}))
        figure, axes = figure_grid([""], 1, cell=6)
        shown = task.show(axes[0, 0], image, found, classes)
        axes[0, 0].set_xlabel(task.caption(found))
        task.legend(figure, classes, shown)
        picture = out / f"{name}.png"
        save(figure, picture)
        yield Prediction(path, image.shape[:2], found, classes, picture)

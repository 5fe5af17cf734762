"""Fine-tuning and training from scratch: an encoder and a linear head on labelled images."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import all_gather, is_main_process
from mmengine.runner import Runner, set_random_seed
from timm.data.mixup import Mixup

from downstream.classification import accuracy  # noqa: F401  registers
from downstream.classification.classifier import Classifier
from downstream.classification.labels import check_labels
from downstream.classification.metrics import Scored, check_metrics, measured
from downstream.classification.mixing import MixingNormalize
from downstream.outcomes import save_outcomes
from downstream.scratch import RANDOM, recipe_for, recipes, weights_of
from mae_core.checkpoints import build_encoder, check_sizes, save_state
from mae_core.data.images import ImageDataset, drawn_by
from mae_core.data.normalize import Normalize
from mae_core.encoders.base import sees_batches
from mae_core.engine.auto_batch import resolve_batch_size
from mae_core.engine.batch import check_batch
from mae_core.engine.sections import arguments
from mae_core.engine.train import build_runner, train, use_average
from mae_core.errors import check_fields
from mae_core.for_encoder import own_preprocessing, with_encoder
from mae_core.kinds import DICT, FROM_0, SHARE, TEXT, Kind, check_kinds, maybe, whole
from mae_core.layouts import StateDict
from mae_core.stage import Reporter, StageResult

SMOOTHING = Kind("from 0 to below 1", lambda v: v == 0 or SHARE.holds(v))
KINDS = {
    "classifier": DICT,
    "classifier.pool": TEXT,
    "classifier.label_smoothing": SMOOTHING,
    "train_cfg.max_epochs": whole(1),
    "mixing": maybe(DICT),
    "mixing.mixup_alpha": FROM_0,
    "mixing.cutmix_alpha": FROM_0,
}
OF_CLASSIFIER = ("pool", "label_smoothing", "head_std")
OF_MIXING = sorted(arguments(Mixup, "num_classes", "label_smoothing") or ())
TASKS = {"finetune": "fine-tune", "supervise": "supervise"}  # that metrics begin with


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Train on the train images; top-1 and `config.metrics` on all val images at the end.

    For 'random' and 'supervised' with the config's section `scratch`.
    """
    config, encoder = recipe_for(config, encoder), weights_of(encoder)
    config = with_encoder(config, encoder, reporter)
    images = open_images(config)
    model, found = fit(config, encoder, *images, work_dir, reporter)
    if not is_main_process():
        return StageResult()
    checkpoint = work_dir / "classifier.safetensors"
    about = {"classes": images[0].classes, "pool": model.pool, "norm_first": model.norm_first}
    about["pixels"] = {key: list(values) for key, values in config.pixels.items()}
    about |= own_preprocessing(config, encoder)
    save_state(checkpoint, honest_state(model), **model.encoder.metadata(), **about)
    groups = images[1].source.groups
    metrics, outcomes = measured(TASKS[config.stage], found, config, groups)
    kept = save_outcomes(work_dir, outcomes)
    return StageResult(metrics, str(checkpoint), kept, labels=len(images[0]))


def honest_state(model: Classifier) -> StateDict:
    """The weights of a classifier by the names of our files.

    A norm that was trained on averages is `fc_norm`, as in timm and facebookresearch/mae. Under the
    encoder's own name it would later be used on every token, for which it was not trained.
    """
    state = model.state_dict()
    if not model.has_own_norm:
        return state
    return {key.replace("encoder.norm.", "fc_norm."): value for key, value in state.items()}


def check(config: Config, encoder: str) -> None:
    """Raise UserError if the images' classes, the batch or the encoder's sizes cannot do."""
    source = weights_of(encoder)
    check_metrics(config)
    check_kinds(config, KINDS)
    for recipe in recipes(config, encoder):
        recipe = with_encoder(recipe, source)
        check_sizes(recipe.encoder, source)
        check_fields(recipe.classifier, OF_CLASSIFIER, "section `classifier`")
        check_fields(recipe.get("mixing") or {}, OF_MIXING, "section `mixing`")
        with torch.device("meta"):
            model = build_classifier(recipe, RANDOM, 2)
        check_batch(recipe, takes_auto=not sees_batches(model.encoder))
        open_images(recipe)


def open_images(config: Config) -> tuple[ImageDataset, ImageDataset]:
    """Train and val images, checked to be labelled alike. Raises UserError as `check_labels`.

    Few train images of each class (`per_class`) are drawn with the run's seed.
    """
    train_data = ImageDataset(**drawn_by(config.seed, config.train_dataloader.dataset))
    val_data = ImageDataset(**config.val_dataloader.dataset)
    check_labels(train_data, val_data)
    return train_data, val_data


def fit(
    config: Config,
    encoder: str,
    train_data: ImageDataset,
    val_data: ImageDataset,
    work_dir: Path,
    reporter: Reporter,
    blocks: float | None = None,
) -> tuple[Classifier, Scored]:
    """Train a classifier, resumed where it stopped in `work_dir`.

    Args:
        config: of the training.
        encoder: 'random' or a checkpoint.
        train_data, val_data: images.
        work_dir: for checkpoints.
        reporter: gets progress and losses.
        blocks: how many of the last blocks are trained, see :meth:`Classifier.freeze`; all and the
            embedding without it.

    Returns:
        The model, and its logits of the val images.
    """
    set_random_seed(config.seed)
    model = build_classifier(config, encoder, len(train_data.classes))
    if blocks is not None:
        model.freeze(blocks)
    resolve_batch_size(config, model, train_data, work_dir, reporter)
    datasets = {"train_dataloader": train_data, "val_dataloader": val_data}
    runner = build_runner(config, model, work_dir, reporter, datasets)
    train(runner)
    use_average(runner)
    return model, predict(runner)


def fit_part(
    config: Config,
    encoder: str,
    images: tuple[ImageDataset, ImageDataset],
    reporter: Reporter,
    work_dir: Path,
    blocks: float | None = None,
) -> torch.Tensor:
    """(N,) bool: which val images are right after :func:`fit`, for :func:`cached_outcome`."""
    return fit(config, encoder, *images, work_dir, reporter, blocks)[1].correct


def build_classifier(config: Config, encoder: str, classes: int) -> Classifier:
    """The classifier of a config, with the weights of `encoder`.

    That of the stage `supervise` norms before it pools: it is to leave an encoder.
    """
    mixing, pixels = config.get("mixing"), config.pixels
    smoothing = config.classifier.get("label_smoothing", 0.0)
    normalize = (
        MixingNormalize(classes, smoothing, mixing, pixels) if mixing else Normalize(**pixels)
    )
    return Classifier(
        build_encoder(config.encoder, encoder),
        classes,
        normalize,
        **config.classifier,
        norm_first=config.stage == "supervise",
    )


@torch.inference_mode()
def predict(runner: Runner) -> Scored:
    """The trained model's logits of the val images, in their order; in every process."""
    runner.model.eval()
    logits, labels = [], []
    for batch in runner.val_dataloader:
        logits.append(runner.model.val_step(batch).float())
        labels.append(batch["label"].to(logits[-1].device))
    return Scored(whole(runner, torch.cat(logits)), whole(runner, torch.cat(labels)))


def whole(runner: Runner, own: torch.Tensor) -> torch.Tensor:
    """Of all val images, on the CPU, what each process has of its own (n, ...)."""
    in_turn = torch.stack(all_gather(own), dim=1).flatten(0, 1)  # as mmengine's sampler deals them
    return in_turn[: len(runner.val_dataloader.dataset)].cpu()

"""Fine-tuning and training from scratch: an encoder and a linear head on labelled images."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import all_gather, is_main_process
from mmengine.runner import Runner, set_random_seed
from timm.data.mixup import Mixup

from downstream.classification import accuracy
from downstream.classification.answers import CLASS, NUMBER, Answers, answers_of, names_of
from downstream.classification.classifier import Classifier
from downstream.classification.labels import check_answers
from downstream.classification.metrics import Scored, check_metrics, main_outcome, measured
from downstream.classification.mixing import MixingNormalize
from downstream.outcomes import save_outcomes
from downstream.scratch import RANDOM, recipe_for, recipes, weights_of
from mae_core.checkpoints import build_encoder, check_sizes, save_state
from mae_core.data.images import ImageDataset, drawn_by
from mae_core.data.normalize import Normalize
from mae_core.encoders.base import sees_batches
from mae_core.engine.auto_batch import resolve_batch_size
from mae_core.engine.batch import check_batch
from mae_core.engine.optim import unwrapped
from mae_core.engine.sections import arguments
from mae_core.engine.train import build_runner, train, use_average
from mae_core.errors import UserError, check_fields
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
    """Train on the train images; the metrics of :func:`measured` on all val images at the end.

    For 'random' and 'supervised' with the config's section `scratch`.
    """
    config, encoder = recipe_for(config, encoder), weights_of(encoder)
    config = with_encoder(config, encoder, reporter)
    images = open_images(config)
    model, found = fit(config, encoder, *images, work_dir, reporter)
    if not is_main_process():
        return StageResult()
    checkpoint = work_dir / "classifier.safetensors"
    about = {"classes": names_of(images[0]), "pool": model.pool, "norm_first": model.norm_first}
    about |= model.answers.about()
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
    check_kinds(config, KINDS)
    for recipe in recipes(config, encoder):
        recipe = with_encoder(recipe, source)
        check_sizes(recipe.encoder, source)
        check_fields(recipe.classifier, OF_CLASSIFIER, "section `classifier`")
        check_fields(recipe.get("mixing") or {}, OF_MIXING, "section `mixing`")
        answers = answers_of(open_images(recipe)[0].targets)
        check_metrics(config, answers.kind)
        with torch.device("meta"):
            model = build_classifier(recipe, RANDOM, 2, answers)
        check_batch(recipe, takes_auto=not sees_batches(model.encoder))


def open_images(config: Config) -> tuple[ImageDataset, ImageDataset]:
    """Train and val images, checked to be labelled alike. Raises UserError as `check_answers`.

    Few train images of each class (`per_class`) are drawn with the run's seed.
    """
    train_data = ImageDataset(**drawn_by(config.seed, config.train_dataloader.dataset))
    val_data = ImageDataset(**config.val_dataloader.dataset)
    check_answers(train_data, val_data)
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
        The model, and its answers for the val images.
    """
    set_random_seed(config.seed)
    answers = answers_of(train_data.targets)
    model = build_classifier(config, encoder, len(names_of(train_data)), answers)
    config.val_evaluator = accuracy.evaluator(config.val_evaluator, answers.kind)
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
    """The val images' main outcome after :func:`fit`, for :func:`cached_outcome`."""
    found = fit(config, encoder, *images, work_dir, reporter, blocks)[1]
    return main_outcome(found, images[1].source.groups)


def build_classifier(
    config: Config, encoder: str, classes: int, answers: Answers | None = None
) -> Classifier:
    """The classifier of a config, with the weights of `encoder`.

    That of the stage `supervise` norms before it pools: it is to leave an encoder.

    Args:
        config: of the stage.
        encoder: 'random' or a checkpoint.
        classes: how many, or how many labels.
        answers: what it answers with; the class of each image without it.

    Raises:
        UserError: for `mixing` where it answers with a number.
    """
    answers = answers or Answers()
    normalize = Normalize(**config.pixels)
    if config.get("mixing"):
        if answers.kind == NUMBER:
            raise UserError(
                "mixing blends images, and what number a blend has is not known: set mixing=None"
            )
        own = classes if answers.kind == CLASS else None
        smoothing = config.classifier.get("label_smoothing", 0.0)
        normalize = MixingNormalize(own, smoothing, config.mixing, config.pixels)
    return Classifier(
        build_encoder(config.encoder, encoder),
        classes,
        normalize,
        **config.classifier,
        norm_first=config.stage == "supervise",
        answers=answers,
    )


@torch.inference_mode()
def predict(runner: Runner) -> Scored:
    """The trained model's answers for the val images, in their order; in every process."""
    runner.model.eval()
    answers = unwrapped(runner.model).answers
    logits, labels = [], []
    for batch in runner.val_dataloader:
        logits.append(runner.model.val_step(batch).float())
        labels.append(batch["label"].to(logits[-1].device))
    found = gathered(runner, torch.cat(logits)), gathered(runner, torch.cat(labels))
    return Scored(*found, kind=answers.kind, unit=answers.unit)


def gathered(runner: Runner, own: torch.Tensor) -> torch.Tensor:
    """Of all val images, on the CPU, what each process has of its own (n, ...)."""
    in_turn = torch.stack(all_gather(own), dim=1).flatten(0, 1)  # as mmengine's sampler deals them
    return in_turn[: len(runner.val_dataloader.dataset)].cpu()

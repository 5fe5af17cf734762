from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from PIL import Image

from downstream.classification import evaluate
from downstream.classification.finetune import check, fit, open_images, run
from downstream.classification.load import load_classifier
from downstream.scratch import recipe_for
from downstream.statistics import share
from mae_core import UserError, create_encoder
from mae_core.checkpoints import build_encoder, load_whole, read_metadata, read_state, save_weights
from mae_core.config import load_config
from mae_core.convert import convert
from mae_core.encoders.vit import pool_tokens
from mae_core.stage import SilentReporter
from tests.downstream.classification.conftest import on


@pytest.fixture
def config(garments: Path) -> Config:
    config = on(load_config("finetune/vit-micro-p6_1xb64-40e_demo-250"), garments)
    config.train_dataloader.update(batch_size=16)
    config.train_dataloader.dataset.update(per_class=16)
    config.train_cfg.update(max_epochs=20, val_interval=20)
    return config


def test_fine_tuning_learns_and_repeats(config: Config, tmp_path: Path) -> None:
    results = [run(config, "random", tmp_path / n, SilentReporter()) for n in ("a", "b")]
    assert results[0].metrics == results[1].metrics
    assert results[0].metrics["fine-tune/top1"].value > 0.4  # chance is 0.25
    first, second = (read_state(str(r.checkpoint)) for r in results)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert read_metadata(str(results[0].checkpoint))["classes"][0] == "class-0"


def test_the_encoder_that_supervise_leaves_gives_what_its_head_saw(
    config: Config, tmp_path: Path
) -> None:
    config.stage = "supervise"
    config.train_cfg.update(max_epochs=4, val_interval=4)
    result = run(config, "random", tmp_path, SilentReporter())
    encoder = build_encoder(config.encoder, str(result.checkpoint)).eval()
    model, _ = load_classifier(str(result.checkpoint), config.encoder, config.pixels)
    _, val = open_images(config)
    images = model.data_preprocessor.images(torch.stack([item["inputs"] for item in val]))
    with torch.inference_mode():
        seen, pooled = model.eval().features(images), pool_tokens(encoder(images), "avg")
        found = model.head(pooled).argmax(dim=1).numpy()
    assert torch.equal(seen, pooled)
    norm = encoder.norm.weight
    assert not torch.equal(norm, torch.ones_like(norm))
    assert result.metrics["supervise/top1"].value == pytest.approx((found == val.labels).mean())


def test_a_norm_that_was_trained_on_averages_is_no_encoders(config: Config, tmp_path: Path) -> None:
    config.train_cfg.update(max_epochs=2, val_interval=2)
    result = run(config, "random", tmp_path, SilentReporter())
    path = str(result.checkpoint)
    with pytest.raises(UserError, match="it is a classifier that norms after pooling"):
        load_whole(create_encoder(**config.encoder), path)
    with pytest.raises(UserError, match="one of mae-bench supervise"):
        check(config, path)
    config.sets = [{"name": "val", **config.val_dataloader.dataset}]
    config.update(transform=config.sets[0]["transform"], batch_size=32, num_workers=0)
    again = evaluate.run(config, path, tmp_path, SilentReporter()).metrics["evaluate/val"]
    assert again == result.metrics["fine-tune/top1"]
    convert(path, tmp_path / "official.pth", "mae")
    official = torch.load(tmp_path / "official.pth")["model"]
    assert {"fc_norm.weight", "fc_norm.bias", "head.weight"} <= official.keys()
    assert "norm.weight" not in official


def test_other_classes_in_val_are_the_users_mistake(
    config: Config, garments: Path, tmp_path: Path
) -> None:
    (garments / "val" / "hat").mkdir()
    Image.new("L", (30, 30)).save(garments / "val" / "hat" / "0.png")
    with pytest.raises(UserError, match="hat"):
        run(config, "random", tmp_path / "work", SilentReporter())


def test_too_few_images_of_a_class_are_the_users_mistake(config: Config, tmp_path: Path) -> None:
    config.train_dataloader.dataset.per_class = 31
    with pytest.raises(UserError, match="30 images, per_class asks for 31"):
        run(config, "random", tmp_path / "work", SilentReporter())


def test_the_few_train_images_are_drawn_with_the_runs_seed_and_the_test_stays(
    config: Config,
) -> None:
    config.val_dataloader.dataset.per_class = 10
    chosen = []
    for seed in (0, 0, 1):
        config.seed = seed
        images = open_images(config)
        chosen.append([[part.source.name(i) for i in range(len(part))] for part in images])
    assert chosen[0] == chosen[1]
    assert chosen[0][0] != chosen[2][0] and chosen[0][1] == chosen[2][1]
    config.train_dataloader.dataset.per_class_seed = 0
    assert open_images(config)[0].source.name(0) == chosen[0][0][0]


def test_the_papers_recipe_trains_resumes_and_is_evaluated_with_the_average(
    config: Config, tmp_path: Path
) -> None:
    """Mixed and augmented, as one run and as one that was stopped after the first epoch."""
    paper = load_config("finetune/vit-base-p16_8xb128-amp-coslr-100e_in1k")
    config.mixing, config.ema = paper.mixing, 0.9
    config.pop("scratch")
    config.train_dataloader.dataset.transform.update(
        auto_augment="rand-m9-mstd0.5-inc1", re_prob=0.25
    )
    config.train_cfg.update(max_epochs=2, val_interval=2)
    whole = run(config, "random", tmp_path / "whole", SilentReporter())
    images = open_images(config)
    stopped = tmp_path / "stopped"
    checkpoint = tmp_path / "whole" / "step_4.pth"
    assert checkpoint.exists()
    stopped.mkdir()
    checkpoint.rename(stopped / "step_4.pth")
    _, found = fit(config, "random", *images, stopped, SilentReporter())
    assert share(found.correct) == whole.metrics["fine-tune/top1"]
    about = read_metadata(str(whole.checkpoint))
    assert about["pool"] == "avg" and about["pixels"] == config.pixels


def test_supervised_takes_the_section_for_training_from_scratch(config: Config) -> None:
    config.scratch = {"train_cfg": {"max_epochs": 7}, "optim_wrapper": {"optimizer": {"lr": 0.5}}}
    merged = recipe_for(config, "supervised")
    assert merged.train_cfg.max_epochs == 7 and merged.optim_wrapper.optimizer.lr == 0.5
    assert merged.optim_wrapper.optimizer.type == "AdamW" and config.train_cfg.max_epochs == 20
    assert recipe_for(config, "random").to_dict() == merged.to_dict()
    assert recipe_for(config, "an/encoder.safetensors").train_cfg.max_epochs == 20
    config.stage = "partial-finetune"  # random weights are a control there, within its own recipe
    assert recipe_for(config, "random").train_cfg.max_epochs == 20


def test_a_checkpoint_of_another_width_is_taken_as_it_is(config: Config, tmp_path: Path) -> None:
    encoder = create_encoder("vit-micro-p6", width=24, depth=2, heads=2, img_size=30)
    save_weights(tmp_path / "e.safetensors", encoder, encoder=encoder.config)
    check(config, str(tmp_path / "e.safetensors"))
    config.merge_from_dict({"train_cfg.max_epochs": 1, "schedule.warmup_epochs": 0})
    result = run(config, str(tmp_path / "e.safetensors"), tmp_path, SilentReporter())
    assert read_metadata(str(result.checkpoint))["encoder"]["width"] == 24


def test_a_patch_that_does_not_divide_the_images_is_told_before_anything_runs(
    config: Config, tmp_path: Path
) -> None:
    encoder = create_encoder("vit-micro-p6", width=16, depth=1, heads=2, img_size=28, patch_size=7)
    save_weights(tmp_path / "e.safetensors", encoder, encoder=encoder.config)
    with pytest.raises(UserError, match=r"30×30 pixels cannot be cut into patches of 7"):
        check(config, str(tmp_path / "e.safetensors"))

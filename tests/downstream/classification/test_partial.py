from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from downstream.classification import finetune
from downstream.classification.partial import check, run
from downstream.outcomes import load_outcomes
from mae_core import UserError
from mae_core.config import load_config
from mae_core.errors import Interrupted
from mae_core.stage import SilentReporter
from tests.downstream.classification.conftest import on


@pytest.fixture
def config(garments: Path) -> Config:
    config = on(load_config("partial_finetune/vit-micro-p6_1xb64-40e_demo-250"), garments)
    config.train_dataloader.update(batch_size=32)
    config.train_dataloader.dataset.update(per_class=16)
    config.train_cfg.update(max_epochs=2, val_interval=2)
    config.blocks = (0, 0.5, 2)
    return config


def test_what_is_finished_stays_after_an_interruption(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, fit = [], finetune.fit

    def stopped_at_the_last(*args, **kwargs):  # type: ignore[no-untyped-def]
        trained.append(args[-1])
        if len(trained) == 3:
            raise Interrupted
        return fit(*args, **kwargs)

    monkeypatch.setattr(finetune, "fit", stopped_at_the_last)
    with pytest.raises(Interrupted):
        run(config, "random", tmp_path, SilentReporter())
    result = run(config, "random", tmp_path, SilentReporter())
    assert trained == [0, 0.5, 2, 2]
    names = [f"partial-finetune/{n}blocks" for n in ("0", "0.5", "2")]
    assert list(result.metrics) == names
    outcomes = load_outcomes(Path(result.artifacts["outcomes"]))
    for name in names:
        assert outcomes[name].shape == (80,) and outcomes[name].dtype == bool
        assert result.metrics[name].value == pytest.approx(np.mean(outcomes[name]))
    assert Path(result.artifacts["curve"]).read_bytes()[:4] == b"\x89PNG"
    assert not list(tmp_path.rglob("step_*.pth"))


def test_all_blocks_but_the_embedding_is_not_plain_fine_tuning(config: Config) -> None:
    model = finetune.build_classifier(config, "random", 4)
    model.freeze(2)
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {
        f"encoder.{n}"
        for n in ("cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias")
    }
    assert torch.equal(model.encoder.norm.weight, torch.ones(16))


@pytest.mark.parametrize(("blocks", "message"), [((3,), "up to 2"), ((), "at least one")])
def test_a_wrong_number_of_blocks_is_told_before_anything_runs(
    config: Config, blocks: tuple[int, ...], message: str
) -> None:
    config.blocks = blocks
    with pytest.raises(UserError, match=message):
        check(config, "random")

"""What a stage does after its training, tried before on one image and with a narrow encoder.

A training takes hours; what fails at its end should fail in the check.
"""

import copy
import logging
import random
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mae_core.agreement import outline
from mae_core.errors import Interrupted, UserError
from mae_core.notices import say
from mae_core.stage import SilentReporter

log = logging.getLogger(__name__)

NARROW = 4  # channels a head of the encoder


class Notes(SilentReporter):
    """Says what should be known, such as that a picture could not be drawn."""

    def note(self, text: str) -> None:
        """Say it once."""
        say(f"before the training: {text}")


@contextmanager
def rehearsal(config: Config) -> Iterator[tuple[Config, Path, SilentReporter]]:
    """A copy of a stage's config for the CPU, a folder that is removed, and a reporter.

    The encoder is random, and if it is a plain ViT narrow, which leaves depth, patches and heads as
    they are. What is drawn at random after the block is what would be drawn without it.

    Raises:
        UserError: for whatever goes wrong in the block.
    """
    quick = copy.deepcopy(config)
    encoder = outline(quick.encoder)
    if "plain" in encoder.offers:
        quick.encoder.width = NARROW * encoder.config["heads"]
    quick.test_loader = {"batch_size": 1, "num_workers": 0}
    try:
        with (
            unchanged_draws(),
            quiet(),
            DefaultScope.overwrite_default_scope(config.default_scope),
            tempfile.TemporaryDirectory(prefix="mae-bench-rehearsal-") as folder,
        ):
            yield quick, Path(folder), Notes()
    except (UserError, Interrupted):
        raise
    except Exception as error:
        log.debug("the rehearsal failed", exc_info=True)
        raise UserError(
            f"{config.filename}: what follows the training was tried on one image of val and "
            f"failed: {type(error).__name__}: {error}. Nothing was trained"
        ) from error


@contextmanager
def unchanged_draws() -> Iterator[None]:
    """Leave the states of all generators of random numbers as they were."""
    python, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(python)
    np.random.set_state(arrays)


@contextmanager
def quiet() -> Iterator[None]:
    """Without what mm's packages print, log and warn of."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        with redirect_stdout(StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

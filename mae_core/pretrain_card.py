"""The card of :mod:`mae_core.pretrain`."""

from mae_core.card import MetricInfo, Stage
from mae_core.stage_keys import EVERY, TRAINING

CARDS = (
    Stage(
        name="pretrain",
        help="Pretrain an encoder on images without labels, or go on from one with --encoder.",
        module="mae_core.pretrain",
        section="Pretraining",
        takes="start",
        makes="encoder",
        several_devices=True,
        metrics=(
            MetricInfo(
                "loss",
                "Pretraining loss",
                unit="of the training",
                higher_is_better=False,
                headline=False,
                digits=4,
            ),
            MetricInfo(
                "images",
                "Images seen in pretraining",
                unit="a count",
                higher_is_better=None,
                headline=False,
                digits=0,
            ),
            MetricInfo(
                "petaflop",
                "Cost of pretraining",
                unit="10^15 operations",
                higher_is_better=None,
                headline=False,
                digits=3,
            ),
        ),
        keys=(
            *(*EVERY, *TRAINING, "method", "compile", "preview"),
            *("start", "continued", "input_sizes"),
        ),
        captions={"reconstruction": "Reconstruction of images that pretraining never saw"},
    ),
)

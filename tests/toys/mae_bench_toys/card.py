"""The card of the toy task."""

from mae_core.card import MetricInfo, Stage

CARDS = (
    Stage(
        name="brightness",
        help="Tell how bright an image is from frozen features.",
        module="mae_bench_toys.brightness",
        metrics=(
            MetricInfo(
                "rmse",
                "Brightness, RMSE",
                unit="of 255",
                higher_is_better=False,
                digits=2,
            ),
        ),
    ),
)

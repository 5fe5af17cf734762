"""How the report orders metrics, and writes their values, by what their stages' cards say."""

import math
import re
import sys

from mae_core.card import OF_DATA, MetricInfo
from pipelines.stages import card_with, metric_info, stages

LOSS = "pretrain/loss"
NO_VALUE = "no value"


def metrics_of(name: str, names: list[str]) -> list[str]:
    """Those among a run's metrics that are results of its stage, in no order."""
    prefix = f"{stages()[name].prefix}/" if name in stages() else f"{name}/"
    return [n for n in names if n.startswith(prefix)]


def order(name: str) -> tuple[int, bool, int, list[tuple[int, str]]]:
    """Key that sorts metrics: by task, headlines first, as the card names them, then by numbers."""
    task, _, rest = name.partition("/")
    prefixes = [card.prefix for card in stages().values()]
    place = prefixes.index(task) if task in prefixes else len(prefixes)
    card = card_with(task)
    known = [info.pattern for info in card.metrics] if card else []
    rank = known.index(rest) if rest in known else len(known)
    parts = re.findall(r"\d+\.?\d*|\D+", name)
    natural = [(int(10 * float(p)), "") if p[0].isdigit() else (0, p) for p in parts]
    return place, not is_headline(name), rank, natural


def is_headline(name: str) -> bool:
    """Whether the metric belongs into the first table."""
    return metric_info(name).headline


def lower_is_better(name: str) -> bool:
    """Whether the metric is an error or a loss."""
    return metric_info(name).higher_is_better is False


def is_compared(name: str) -> bool:
    """Whether one value of the metric is better than another."""
    return metric_info(name).higher_is_better is not None


def is_known(value: float) -> bool:
    """Whether a metric has a value: a correlation of what is constant has none.

    MLflow keeps an infinite one as the largest number.
    """
    return abs(value) < sys.float_info.max


def unit(name: str) -> str:
    """' (%)' after the name of a metric that is shown in percent, else ''."""
    return " (%)" if metric_info(name).scale == 100 else ""


def other_unit(name: str) -> str:
    """' (m, not percent)' after the name of a metric that is no share, else ''.

    A unit of the data stands behind each number.
    """
    info = metric_info(name)
    if info.unit == OF_DATA:
        return " (not percent)"
    return "" if info.scale == 100 else f" ({info.unit}, not percent)"


def title(name: str) -> str:
    """What a reader calls the metric."""
    info, rest = metric_info(name), name.partition("/")[2]
    found = info.match(rest)
    return found.expand(info.title) if found else info.title


def number(name: str, value: float, ci95: float | None, unit: str = "") -> str:
    """'87.3 ± 0.8' in percent, or where it is no share the value itself: '12.3 ± 0.4 px'.

    Args:
        name: of the metric.
        value: of it; one that is not known is said to be none.
        ci95: half width of its interval, if any.
        unit: of the data, see :attr:`mae_core.stage.Metric.unit`.
    """
    if not is_known(value):
        return NO_VALUE
    info = metric_info(name)
    digits = decimals(info, value, ci95)
    interval = "" if ci95 is None else f" ± {info.scale * ci95:.{digits}f}"
    return f"{info.scale * value:.{digits}f}{interval} {unit}".rstrip()


def change(name: str, difference: float, arm: float | None = None, unit: str = "") -> str:
    """'+4.9' points, or the difference itself where the metric is no share: '+0.42 px'.

    Args:
        name: of the metric.
        difference: of two values.
        arm: half width of its interval, if any.
        unit: of the data.
    """
    info = metric_info(name)
    return f"{info.scale * difference:+.{decimals(info, difference, arm)}f} {unit}".rstrip()


def decimals(info: MetricInfo, value: float, arm: float | None) -> int:
    """Digits after the point: the metric's, or in a unit of the data as many as the interval has.

    Of that one figure counts, or two if the first is 1, 2 or 3: '12.3 ± 0.4', '0.0123 ± 0.0012'.
    Without an interval three of the value do.
    """
    if info.unit != OF_DATA:
        return info.digits
    size = arm or abs(value)
    if not size:
        return 1
    place = math.floor(math.log10(size))
    figures = 3 if not arm else 2 if arm < 4 * 10.0**place else 1
    return max(figures - 1 - place, 0)

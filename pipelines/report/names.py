"""How the report orders metrics, and writes their values, by what their stages' cards say."""

import re

from pipelines.stages import card_with, metric_info, stages

LOSS = "pretrain/loss"


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


def unit(name: str) -> str:
    """' (%)' after the name of a metric that is shown in percent, else ''."""
    return " (%)" if metric_info(name).scale == 100 else ""


def other_unit(name: str) -> str:
    """' (m, not percent)' after the name of a metric that is no share, else ''."""
    info = metric_info(name)
    return "" if info.scale == 100 else f" ({info.unit}, not percent)"


def title(name: str) -> str:
    """What a reader calls the metric."""
    info, rest = metric_info(name), name.partition("/")[2]
    found = info.match(rest)
    return found.expand(info.title) if found else info.title


def number(name: str, value: float, ci95: float | None) -> str:
    """'87.3 ± 0.8' in percent, or the value itself where it is no share."""
    info = metric_info(name)
    interval = "" if ci95 is None else f" ± {info.scale * ci95:.{info.digits}f}"
    return f"{info.scale * value:.{info.digits}f}{interval}"


def change(name: str, difference: float) -> str:
    """'+4.9' points, or the difference itself where the metric is no share."""
    info = metric_info(name)
    return f"{info.scale * difference:+.{info.digits}f}"

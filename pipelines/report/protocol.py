"""What two results must share to be compared: a protocol, and the cases of a test."""

from collections.abc import Mapping
from typing import Any

from mae_core.card import CASES
from pipelines.cells.folder import CONFIG
from pipelines.identity import NO_CASES, ROOT, Read, machine_of, protocol_config, without
from pipelines.stages import stages
from pipelines.stored_config import parse_config
from pipelines.tracking.artifacts import UNREADABLE
from pipelines.tracking.stored_run import StoredRun
from pipelines.tracking.tracker import Tracker


def stored_config(run: StoredRun, tracker: Tracker) -> dict[str, Any]:
    """The config that a stage's run keeps; empty if it has none that can be read."""
    try:
        return parse_config(tracker.read(run, CONFIG).decode())
    except (*UNREADABLE, ValueError, SyntaxError):
        return {}


def protocol(config: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, Any]:
    """What decides a result but for encoder and seed; data by its content.

    Args:
        config: of a stage.
        digests: of the data that the config names, by its name.
    """
    kept = protocol_config(by_name(config))
    kept["devices"] = machine_of(config)["devices"]  # more of them make larger updates
    return by_digest(kept, digests)


def cases_of(config: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, Any] | None:
    """What decides the cases of a stage's test; None where the data's content is not known."""
    card = stages().get(str(config.get("stage")))
    chosen = card.cases if card else CASES
    found = without({key: config[key] for key in chosen if key in config}, NO_CASES)
    if not digests or not found:
        return None
    return by_digest(by_name(found), digests)


def by_name(node: Any) -> Any:
    """A part of a config with each data set by its name in place of path and root."""
    if isinstance(node, dict):
        known = dict(node)
        if isinstance(known.get("data"), str):
            root, columns = known.pop(ROOT, None), known.get("columns")
            known["data"] = Read("", "data", known["data"], columns, root).name
        return {key: by_name(value) for key, value in known.items()}
    return [by_name(value) for value in node] if isinstance(node, list | tuple) else node


def by_digest(node: Any, digests: Mapping[str, str]) -> Any:
    """A part of a config with 'data <digest>' in place of each known name of data."""
    if isinstance(node, dict):
        return {key: by_digest(value, digests) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [by_digest(value, digests) for value in node]
    return f"data {digests[node]}" if isinstance(node, str) and node in digests else node

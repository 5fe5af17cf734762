"""Imports point down: between the layers, and between the rooms of `pipelines`."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = {"mae_core": 0, "downstream": 1, "pipelines": 2}
# Rooms of the same height do not know each other. What is in no room is the ground floor.
ROOMS = {
    "cli": 6,
    "clean": 5,
    "doctor": 5,
    "sweep": 5,
    "service": 4,
    "recipes": 3,
    "report": 3,
    "cells": 2,
    "tracking": 1,
}
ORCHESTRATION = {"mlflow", "prefect", "optuna", "ray", "typer"}


def imported(path: Path) -> set[str]:
    """The modules that a file imports, at whatever point."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules() -> Iterator[tuple[str, Path]]:
    for layer in LAYERS:
        for path in sorted((ROOT / layer).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


def room(name: str) -> str:
    """The room of a module of `pipelines`, '' on the ground floor."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else ""


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_is_below(layer: str) -> None:
    for name, path in modules():
        if name.partition(".")[0] != layer:
            continue
        tops = {module.partition(".")[0] for module in imported(path)}
        above = {other for other, height in LAYERS.items() if height > LAYERS[layer]}
        assert not tops & above, f"{name} imports {tops & above}"
        if layer != "pipelines":
            assert not tops & ORCHESTRATION, f"{name} imports {tops & ORCHESTRATION}"


def test_a_room_imports_only_what_is_below() -> None:
    rooms = {room(name) for name, _ in modules() if name.startswith("pipelines.")}
    assert rooms == {*ROOMS, ""}
    for name, path in modules():
        if not name.startswith("pipelines."):
            continue
        for other in imported(path):
            if other.startswith("pipelines.") and room(other) != room(name):
                below = ROOMS.get(room(other), 0) < ROOMS.get(room(name), 0)
                assert below, f"{name} imports {other}"


def test_no_module_imports_itself_in_a_circle() -> None:
    known = dict(modules())
    arrows = {
        name: {other for other in imported(path) if other in known and other != name}
        for name, path in known.items()
    }
    # Who imports nothing that is left is in no circle.
    while free := {name for name, others in arrows.items() if not others & arrows.keys()}:
        arrows = {name: others for name, others in arrows.items() if name not in free}
    assert not arrows, f"in circles, or above one: {sorted(arrows)}"

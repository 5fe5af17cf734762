"""Imports point down, between layers and rooms; files and functions are short; writes are whole."""

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
FILE_LINES, FUNCTION_LINES = 400, 60
# What may write to a path itself, and why.
DIRECT_WRITES = {
    "mae_core.files": "it is the one place",
    "mae_core.data.cache": "opens a lock",
    "mae_core.data.demo": "in a folder that gets its name when it is complete",
    "mae_core.data.pack": "in such a folder, too",
    "mae_core.engine.auto_batch": "tells the kernel something",
    "mae_core.engine.bases": "in a temporary folder",
    "downstream.classification.features": "into a name of `replacing`, and opens a lock",
    "downstream.outcomes": "into a name of `replacing`",
    "mae_core.data.sources.tar_index": "into a name of `replacing`",
    "pipelines.last_net": "a report of a crash, under a name of its own",
    "pipelines.tracking.tracker": "in a temporary folder, from which it is uploaded",
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


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """The name and the lines of each function in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_files_and_functions_are_short() -> None:
    """What is longer holds two ideas."""
    too_long = []
    for name, path in modules():
        lines = len(path.read_text().splitlines())
        if lines > FILE_LINES:
            too_long.append(f"{name}: {lines} lines")
        for function, length in functions(path):
            if length > FUNCTION_LINES:
                too_long.append(f"{name}.{function}: {length} lines")
    assert not too_long


def writes(path: Path) -> Iterator[int]:
    """The lines of a file that write to a path directly."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if name in ("write_text", "write_bytes"):
            # Ours are functions, pathlib's are methods.
            if isinstance(called, ast.Attribute):
                yield node.lineno
        elif name == "open":
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            given = [arg.value for arg in arguments if isinstance(arg, ast.Constant)]
            if any(isinstance(mode, str) and mode in ("w", "wb", "x", "xb") for mode in given):
                yield node.lineno


def test_results_are_written_whole_or_not_at_all() -> None:
    """By `mae_core.files`, which flushes and renames, so that a power cut leaves no half file."""
    found: dict[str, list[int]] = {}
    for name, path in modules():
        lines = sorted(writes(path))
        if lines and name not in DIRECT_WRITES:
            found[name] = lines
    assert not found

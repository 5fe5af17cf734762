"""Somebody else's package, as an installer leaves it."""

from pathlib import Path


def write_metadata(site: Path, name: str, entry_points: str) -> None:
    """What says that the package `name` is installed in `site`, with its entry points."""
    about = site / f"{name.replace('-', '_')}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(entry_points)

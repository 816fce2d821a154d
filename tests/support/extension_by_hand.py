"""A tiny distribution with entry points, installed where this process looks."""

from pathlib import Path

import pytest


def install_extension(
    folder: Path, monkeypatch: pytest.MonkeyPatch, group: str, points: dict[str, str], source: str
) -> None:
    """Install a distribution `acme-NAME 1.2` of one module, `NAME.py`; NAME is the folder's."""
    name = folder.name
    described = folder / f"acme_{name}-1.2.dist-info"
    described.mkdir(parents=True)
    (folder / f"{name}.py").write_text(source)
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.2\n")
    lines = [f"{point} = {target}" for point, target in points.items()]
    (described / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    monkeypatch.syspath_prepend(str(folder))

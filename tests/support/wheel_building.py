"""Builds the wheel that ships, from a copy of the checkout and without the network; and others like it."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEFT_OUT = (".git", ".venv", ".cache", "build", "dist", "*.egg-info", "__pycache__", "*-state*")


def build_wheel(folder: Path) -> Path:
    """Build in a folder; return the wheel's path."""
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), "."],
        cwd=source,
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": "", "PYTHONWARNINGS": "ignore"},
    )
    (built,) = folder.glob("*.whl")
    return built


def later_wheel(wheel: Path, version: str, *, without: str = "") -> Path:
    """Write the same wheel under another version beside it, without one file of it; return its path."""
    name, earlier, *tags = wheel.name.split("-")
    made = wheel.with_name("-".join((name, version, *tags)))
    was, now = f"{name}-{earlier}.dist-info", f"{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(made, "w") as new:
        for one in old.namelist():
            held = old.read(one)
            if one == f"{was}/METADATA":
                held = held.replace(
                    f"Version: {earlier}\n".encode(), f"Version: {version}\n".encode()
                )
            if one == f"{was}/RECORD":
                held = held.replace(was.encode(), now.encode())
            if one != without:
                new.writestr(one.replace(was, now), held)
    return made


def small_wheel(folder: Path, name: str, files: Mapping[str, str]) -> Path:
    """Write a wheel of version 1.0 that holds these files beside the packages; return its path."""
    made, info = folder / f"{name}-1.0-py3-none-any.whl", f"{name}-1.0.dist-info"
    told = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*told, f"{info}/RECORD"))
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in {**told, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)
    return made

"""Adapter folders: what is checked before any server is asked to load one.

vLLM 0.32 serves an adapter of NaN with status 200, and on a CPU a few requests to it poison the
answers of all others until a restart. So nothing is loaded that was not read here first.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...learner.digests import ADAPTER_FILES, adapter_digest

CONFIG, WEIGHTS = ADAPTER_FILES
HALVES = (".lora_A.weight", ".lora_B.weight")
EXPONENTS = {"F16": 0x7C00, "BF16": 0x7F80, "F32": 0x7F80_0000, "F64": 0x7FF0_0000_0000_0000}
"""Type in the file to the bits of its exponent; all of them set means infinite or not a number."""
PIECE = 1 << 20
"""So many numbers are looked at in one go: a copy of a large tensor beside it is memory for nothing."""
WORDS = {"F16": "<u2", "BF16": "<u2", "F32": "<u4", "F64": "<u8", "I32": "<i4", "I64": "<i8"}


class DamagedAdapter(ValueError):
    """The files are not those that were written, or cannot be read: the disk's fault, or somebody's."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Read a version's files in the block; raises DamagedAdapter where the system lets one not be read."""
    try:
        yield
    except OSError as problem:
        raise DamagedAdapter(f"{problem.filename or path}: {problem.strerror}") from problem


def check_adapter(path: Path, digest: str) -> None:
    """Return where the folder holds a sound LoRA adapter with this digest.

    Raises DamagedAdapter naming the file that is missing or changed, and otherwise ValueError
    naming the tensor that is not finite, not one of lora_A and lora_B, or of a shape that does not
    fit the rank.
    """
    with reading(path):
        _check_files(path, digest)


def _check_files(path: Path, digest: str) -> None:
    for name in ADAPTER_FILES:
        if not (path / name).is_file():
            raise DamagedAdapter(f"{path / name} is missing")
    found = adapter_digest(path)
    if found != digest:
        raise DamagedAdapter(f"{path}: digest {found}, not {digest}")
    config = _read_config(path / CONFIG)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, kind, words in tensors_in(path / WEIGHTS):
        if not name.endswith(HALVES):
            raise ValueError(f"{path / WEIGHTS}: tensor {name} is not a lora_A or lora_B weight")
        if kind not in EXPONENTS:
            raise ValueError(f"{path / WEIGHTS}: tensor {name} is of type {kind}")
        if not finite(kind, words):
            raise ValueError(f"{path / WEIGHTS}: tensor {name} is not finite")
        shapes[name] = words.shape
    _check_shapes(path / WEIGHTS, shapes, config)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    rank = config.get("r") if isinstance(config, dict) else None
    if not isinstance(rank, int) or rank < 1 or config.get("peft_type") != "LORA":
        raise ValueError(f"{path}: not a LoRA adapter with a rank: r is {rank!r}")
    return dict(config)


def finite(kind: str, words: NDArray[Any]) -> bool:
    """Return whether a tensor of floats of this type, as raw words, is finite."""
    exponent, flat = words.dtype.type(EXPONENTS[kind]), words.reshape(-1)
    pieces = (flat[at : at + PIECE] for at in range(0, flat.size, PIECE))
    return not any(bool(((one & exponent) == exponent).any()) for one in pieces)


def tensors_in(path: Path) -> Iterator[tuple[str, str, NDArray[Any]]]:
    """Yield name, type and raw words of each tensor in a safetensors file; it is read as they are asked for.

    Raw, because numpy has no bfloat16. Not mapped into memory: a file that is cut off meanwhile would end the
    process by SIGBUS. Raises ValueError where it is none, or is cut off.
    """
    with path.open("rb") as file:
        entries, begin = _entries(file, path)
        for name, kind, shape, (start, end) in entries:
            if kind not in WORDS:
                raise ValueError(f"{path}: tensor {name} is of type {kind}")
            try:
                words = np.frombuffer(_read(file, begin + start, end - start), dtype=WORDS[kind])
                words = words.reshape(shape)
            except (ValueError, TypeError) as error:
                raise ValueError(
                    f"{path}: tensor {name} is cut off or misshapen: {error}"
                ) from error
            yield name, kind, words


def _entries(
    file: BinaryIO, path: Path
) -> tuple[list[tuple[str, str, list[int], tuple[int, int]]], int]:
    """Return name, type, shape and place of each tensor that the header names, and where the data begins."""
    try:
        size = int.from_bytes(_read(file, 0, 8), "little")
        header = json.loads(_read(file, 8, size))
        header.pop("__metadata__", None)
        entries = [
            (
                name,
                entry["dtype"],
                entry["shape"],
                (entry["data_offsets"][0], entry["data_offsets"][1]),
            )
            for name, entry in sorted(header.items())
        ]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{path}: not a safetensors file: {error}") from error
    if not entries:
        raise ValueError(f"{path} has no tensors")
    return entries, 8 + size


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    """Return so many bytes from a place on; ValueError where the file, as it is now, has not as many."""
    end = os.fstat(file.fileno()).st_size
    if start < 0 or size < 0 or start + size > end:
        raise ValueError(f"bytes {start} to {start + size} of {end}")
    file.seek(start)
    found = file.read(size)
    if len(found) < size:
        raise ValueError(f"{len(found)} bytes of {size}")
    return found


def _check_shapes(path: Path, shapes: dict[str, tuple[int, ...]], config: dict[str, Any]) -> None:
    largest = max([config["r"], *(config.get("rank_pattern") or {}).values()])
    for name, shape in shapes.items():
        half = "A" if name.endswith(HALVES[0]) else "B"
        module = name.removesuffix(HALVES["AB".index(half)])
        other = shapes.get(module + HALVES["BA".index(half)])
        if other is None:
            raise ValueError(f"{path}: module {module} has only lora_{half}")
        if len(shape) != 2 or len(other) != 2:
            raise ValueError(f"{path}: tensor {name} is not a matrix: {shape}")
        rank = shape[0] if half == "A" else shape[1]
        matching = other[1] if half == "A" else other[0]
        if rank != matching or rank > largest:
            raise ValueError(f"{path}: tensor {name} is {shape}; the rank is {largest}")
        if not config.get("rank_pattern") and rank != config["r"]:
            raise ValueError(f"{path}: tensor {name} is {shape}; the rank is {config['r']}")

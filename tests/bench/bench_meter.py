"""Bench meter: seconds, processor seconds and peak memory, alike on a CPU and a GPU."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch


class Took(NamedTuple):
    """What one call took."""

    seconds: float
    """By the clock; on a GPU between two events on its stream."""
    cpu_seconds: float
    """Of this machine's processor, all threads: what a busy machine distorts least."""


def device() -> str:
    """Return what is measured on, by name."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"


def timed(work: Callable[[], object]) -> Took:
    """Do the work once and return what it took, finished on the GPU too."""
    started, spent = time.perf_counter(), time.process_time()
    if not torch.cuda.is_available():
        work()
        return Took(time.perf_counter() - started, time.process_time() - spent)
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    first.record()
    work()
    last.record()
    torch.cuda.synchronize()
    return Took(first.elapsed_time(last) / 1e3, time.process_time() - spent)


def forget() -> float:
    """Let the peak start from what is in use now (Linux: proc(5), clear_refs), and return that."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> float:
    """Return bytes at the peak: of the GPU's allocator, or resident."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    status = Path("/proc/self/status").read_text()
    return 1024.0 * int(status.split("VmHWM:")[1].split()[0])

"""Doctor, this machine: packages, GPU, state folder, flag file, reward spec."""

import importlib.metadata
import os
import re
import shutil
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

from ...learner.ranks.other_ranks import cores
from ...ops.flags.flag_file import read_flags
from ...ops.servers.processor import has_bfloat16
from ...rewards.spec.spec import reward_spec
from ..config import Config
from ..status.spec_doubts import spec_doubts
from .doctor_finding import Finding, fail, ok, warn

HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""Name of an authority's file in a folder: OpenSSL reads no other."""
FREE_BYTES = 1 << 30
"""Below this SQLite and checkpoints soon find no room."""
GPU_DEVICE = Path("/dev/nvidiactl")
GPU_NAMES = "nvidia[0-9]*"
"""What each GPU's device is called, in the same folder."""


def check_installed() -> Iterator[Finding]:
    """Look at Python and at the packages of daemon and learner, without importing any."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield ok("python", f"{python}, {sys.executable}")
    try:
        wanted = [Requirement(text) for text in importlib.metadata.requires("rlwd") or ()]
    except importlib.metadata.PackageNotFoundError:
        yield warn("packages", "rlwd is not installed", "pip install rlwd")
        return
    for what, extra, told, remedy in (
        ("packages", "", ("kafka-python", "mlflow-skinny"), "pip install rlwd"),
        ("learner", "learner", ("torch", "transformers", "peft"), "pip install 'rlwd[learner]'"),
    ):
        needed = [
            one
            for one in wanted
            if (one.marker is None and not extra)
            or (one.marker is not None and one.marker.evaluate({"extra": extra}))
        ]
        wrong = [problem for one in needed if (problem := _problem(one))]
        if what == "learner" and all(_absent(one) for one in needed):
            yield warn(
                what, "none of its packages is installed", f"{remedy}, unless this is a gateway"
            )
            continue
        for problem in wrong:
            yield fail(what, problem, remedy)
        if not wrong:
            versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in told)
            yield ok(what, f"all {len(needed)} packages as required: {versions}")


def _absent(wanted: Requirement) -> bool:
    try:
        importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return True
    return False


def _problem(wanted: Requirement) -> str | None:
    if _absent(wanted):
        return f"{wanted.name} is not installed"
    version = importlib.metadata.version(wanted.name)
    if not wanted.specifier.contains(version, prereleases=True):
        return f"{wanted.name} is {version}, not {wanted.specifier}"
    return None


def check_machine(config: Config) -> Iterator[Finding]:
    """Look at what the config names on this machine."""
    yield from _authorities()
    yield _gpu(config)
    yield from _precision(config)
    yield from _processes(config)
    yield from _state(config)
    yield _flags(config)
    yield _spec(config)


def _authorities() -> Iterator[Finding]:
    """Look at an operator's own authority: a file that cannot be read is one that nobody hears of."""
    if named := os.environ.get("SSL_CERT_FILE"):
        try:
            ssl.create_default_context(cafile=named)
        except OSError as problem:
            told = f"SSL_CERT_FILE is {named}, which cannot be read: {problem.strerror or problem}"
            yield fail("authorities", told, "name a PEM file that this user may read")
        else:
            yield ok("authorities", f"those of {named} are believed beside the public ones")
    for folder in filter(None, os.environ.get("SSL_CERT_DIR", "").split(os.pathsep)):
        if not _has_hashed(folder):
            told = f"SSL_CERT_DIR is {folder}, which has no file that is called as OpenSSL looks for it"
            remedy = f"`openssl rehash {folder}`, or name a PEM file by SSL_CERT_FILE"
            yield fail("authorities", told, remedy)


def _has_hashed(folder: str) -> bool:
    try:
        return any(HASHED.fullmatch(one.name) for one in Path(folder).iterdir())
    except OSError:
        return False


def _gpu(config: Config) -> Finding:
    found, wanted = GPU_DEVICE.exists(), config.learner.device
    if wanted == "cuda" and not found:
        return fail(
            "gpu", "learner.device is cuda and no driver is here", "take another device or machine"
        )
    learner = "cuda" if found and wanted != "cpu" else "cpu"
    return ok("gpu", f"{'found' if found else 'none'}; the learner uses {learner}")


def _precision(config: Config) -> Iterator[Finding]:
    on_cpu = config.learner.device == "cpu" or not GPU_DEVICE.exists()
    if config.learner.dtype == "bfloat16" and on_cpu and not has_bfloat16():
        seen = "learner.dtype is bfloat16, and these cores have no instructions for it"
        yield warn("precision", seen, "float32 is eight times as fast on them, and more")


def _processes(config: Config) -> Iterator[Finding]:
    count = config.learner.processes
    if count == 1:
        return
    gpus = len(list(GPU_DEVICE.parent.glob(GPU_NAMES))) if config.learner.device != "cpu" else 0
    if gpus and count > gpus:
        seen = f"learner.processes is {count}, and GPUs here are {gpus}"
        yield fail("processes", seen, "the learner does not start so: one process to a GPU at most")
    elif not gpus and count > cores():
        seen = f"learner.processes is {count}, and cores here are {cores()}"
        yield warn("processes", seen, "they wait for one another: no more than cores")
    else:
        yield ok("processes", f"each update is made by {count}")


def _state(config: Config) -> Iterator[Finding]:
    folder = config.state_path
    there = folder
    while not there.exists():
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield fail("state", f"{there} cannot be written to", "give it to the user of the daemon")
        return
    yield ok("state", f"{folder}" + ("" if there == folder else ", which `rlwd run` makes"))
    free = shutil.disk_usage(there).free
    seen = f"{free / (1 << 30):.1f} GiB free at {there}"
    if free < FREE_BYTES:
        yield fail("disk", seen, "make room: every version keeps a checkpoint")
    else:
        yield ok("disk", seen)


def _flags(config: Config) -> Finding:
    path = config.flags_path
    try:
        state = read_flags(path)
    except (ValueError, OSError) as problem:
        return warn("flags", str(problem), "`rlwd run` writes it again from its tables")
    if state is None:
        return warn(
            "flags", f"{path} is not there", "`rlwd run` writes it; until then nobody is served"
        )
    if state.policy != config.policy:
        remedy = f"point state at the folder of {config.policy!r}"
        return fail("flags", f"{path} is of policy {state.policy!r}", remedy)
    trial = "" if state.candidate is None else f", {state.candidate.version} on trial"
    return ok("flags", f"generation {state.generation}, {state.champion.version} serves{trial}")


def _spec(config: Config) -> Finding:
    try:
        spec = reward_spec(config.reward_spec)
    except (ValueError, OSError) as problem:
        return fail("rewards", str(problem), "correct the file that reward_spec names")
    if doubts := spec_doubts(spec, config.satisfaction.rubrics):
        return warn(
            "rewards", f"{spec.version}: {'; '.join(doubts)}", "correct it, if not meant so"
        )
    costs = f", costs {', '.join(spec.costs)}" if spec.costs else ""
    return ok("rewards", f"{spec.version}, parts {', '.join(spec.parts)}{costs}")

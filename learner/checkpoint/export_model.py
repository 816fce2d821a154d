"""ExportModel: a version of full weights as a Hugging Face folder, which any server of models can be started with."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from ...streams.state.durable import fsync
from ..candidate import Manifest
from .folder import chain_problem, check_base, checkpoint_path, is_full
from .weight_chain import put_together

WEIGHT_FILES = ("*.safetensors", "*.bin", "*.index.json")
"""Files of a base model that are not taken over: its weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A version's folder."""

    path: Path
    """The folder."""
    off: float | None
    """Largest difference of a log-probability of the probe, nats, between folder and manifest; None where
    none was measured."""


def export_model(
    folder: Path, manifest: Manifest, model: Path, out: Path, *, tolerance: float | None
) -> Exported:
    """Write a version beside what its base model's folder holds, read it again, and prove it by the probe.

    Without a tolerance it is not read again: whoever serves it proves it. The folder is there whole or not
    at all. Raises ValueError where the version has no full weights, its
    links are pruned or damaged, the base is another one, or what was written answers the probe otherwise.
    """
    place = checkpoint_path(folder, manifest.sequence)
    if not is_full(manifest):
        raise ValueError(f"{manifest.version}: is an adapter, which lies in {place}")
    check_base(model, manifest)
    _check_links(folder, manifest)
    weights = put_together(folder, manifest.sequence)
    disable_progress_bar()
    aside = out.with_name(f".new-{out.name}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(model, aside, ignore=shutil.ignore_patterns(*WEIGHT_FILES))
        _write(model, weights, aside)
        off = None if tolerance is None else _off_the_probe(aside, manifest)
        if off is not None and tolerance is not None and not off <= tolerance:
            raise ValueError(
                f"{manifest.version}: its folder answers the probe otherwise, by {off:.3g} nats:"
                f" gate.probe_tolerance is {tolerance:g}"
            )
        for path in (*aside.rglob("*"), aside):
            fsync(path)
        aside.rename(out)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    fsync(out.parent)
    return Exported(path=out, off=off)


def _check_links(folder: Path, manifest: Manifest) -> None:
    """Raise ValueError where a link is gone or damaged; optimizer and the rest are not needed."""
    if problem := chain_problem(folder, manifest.sequence, manifest.digest):
        raise ValueError(f"{manifest.version}: {problem}")


def _write(model: Path, weights: dict[str, Tensor], to: Path) -> None:
    dtype = next(iter(weights.values())).dtype
    causal = AutoModelForCausalLM.from_pretrained(model, dtype=dtype)
    named = dict(causal.named_parameters())
    if strange := sorted(weights.keys() - named.keys()):
        raise ValueError(f"learner.model: {model} has no weight {strange[0]}")
    with torch.no_grad():
        for name, weight in weights.items():
            named[name].copy_(weight)
    causal.save_pretrained(to)


def _off_the_probe(folder: Path, manifest: Manifest) -> float:
    """Read the folder as a learner reads its base model, which proves it, and ask for the probe."""
    # Here: without this proof nothing of the learner is needed, and a process starts sooner.
    from ..train.state import Learner

    assert manifest.made_with is not None, "written since before there were full weights"
    was = manifest.made_with.read_settings()
    settings = msgspec.structs.replace(was, model=str(folder), processes=1, device="auto")
    found, wanted = Learner(settings).probe(), manifest.probe
    if found.token_ids != wanted.token_ids:
        raise ValueError(f"{manifest.version}: its folder has another vocabulary")
    return max(abs(a - b) for a, b in zip(found.logprobs, wanted.logprobs, strict=True))

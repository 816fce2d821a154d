"""Bad adapters are named before any server is asked to load them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rlwd.learner.candidate import Candidate
from rlwd.learner.digests import adapter_digest
from rlwd.ops.engine.adapter_check import CONFIG, WEIGHTS, check_adapter

Q_PROJ = "base_model.model.model.layers.0.self_attn.q_proj"


def test_a_sound_adapter_passes(versions: tuple[Candidate, Candidate]) -> None:
    """What PEFT wrote is fine, under the digest that its name carries."""
    for candidate in versions:
        check_adapter(candidate.path, candidate.digest)


def test_a_changed_file_has_another_digest(scratch_version: Path) -> None:
    """One bit of the weights is enough; the error names the folder and both digests."""
    digest = adapter_digest(scratch_version)
    weights = bytearray((scratch_version / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (scratch_version / WEIGHTS).write_bytes(weights)
    with pytest.raises(ValueError, match=f"{scratch_version.name}: digest .*, not {digest}"):
        check_adapter(scratch_version, digest)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named(scratch_version: Path, name: str) -> None:
    """The error names the file."""
    digest = adapter_digest(scratch_version)
    (scratch_version / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is missing"):
        check_adapter(scratch_version, digest)


def damaged(folder: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """Rewrite the weights after a change and return the new digest."""
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)
    return adapter_digest(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.float32, np.float16, np.float64])
def test_a_value_that_is_not_finite_is_named(
    scratch_version: Path, value: float, kind: type
) -> None:
    """One such value in one tensor is enough, whatever the type."""

    def change(tensors: dict[str, Any]) -> None:
        tensors[f"{Q_PROJ}.lora_B.weight"] = tensors[f"{Q_PROJ}.lora_B.weight"].astype(kind)
        tensors[f"{Q_PROJ}.lora_B.weight"][3, 1] = value

    digest = damaged(scratch_version, change)
    with pytest.raises(ValueError, match=r"q_proj\.lora_B\.weight is not finite"):
        check_adapter(scratch_version, digest)


@pytest.mark.parametrize("finite", [True, False])
def test_bfloat16_is_read_too(scratch_version: Path, finite: bool) -> None:
    """Adapters in bfloat16, which numpy lacks, are checked like any other."""
    import torch
    from safetensors.torch import load_file as load_torch
    from safetensors.torch import save_file as save_torch

    tensors = {k: v.bfloat16() for k, v in load_torch(scratch_version / WEIGHTS).items()}
    tensors[f"{Q_PROJ}.lora_A.weight"][0, 0] = 3e38 if finite else torch.nan
    save_torch(tensors, scratch_version / WEIGHTS)
    digest = adapter_digest(scratch_version)
    if finite:
        check_adapter(scratch_version, digest)
        return
    with pytest.raises(ValueError, match=r"q_proj\.lora_A\.weight is not finite"):
        check_adapter(scratch_version, digest)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t: t.pop(f"{Q_PROJ}.lora_A.weight"), "q_proj has only lora_B"),
        (lambda t: t.update({"lm_head.weight": np.zeros(3)}), "lm_head.weight is not a lora_A"),
        (lambda t: t.update({f"{Q_PROJ}.lora_A.weight": np.zeros((4, 128))}), "the rank is 8"),
        (lambda t: t.update({f"{Q_PROJ}.lora_A.weight": np.zeros(8)}), "is not a matrix"),
        (lambda t: t.clear(), "has no tensors"),
    ],
    ids=["half", "foreign", "rank", "vector", "empty"],
)
def test_tensors_that_do_not_fit_are_named(
    scratch_version: Path, change: Callable[[dict[str, Any]], object], complaint: str
) -> None:
    """The error says which tensor and what is wrong with it."""
    digest = damaged(scratch_version, change)
    with pytest.raises(ValueError, match=complaint):
        check_adapter(scratch_version, digest)


@pytest.mark.parametrize("kept", [4, 200, -100])
def test_a_file_that_is_cut_off_is_named(scratch_version: Path, kept: int) -> None:
    """Whether in its header or in its data."""
    (scratch_version / WEIGHTS).write_bytes((scratch_version / WEIGHTS).read_bytes()[:kept])
    with pytest.raises(ValueError, match=WEIGHTS):
        check_adapter(scratch_version, adapter_digest(scratch_version))


def test_a_config_of_another_kind_is_named(scratch_version: Path) -> None:
    """Something that is not LoRA is refused by its config."""
    config = json.loads((scratch_version / CONFIG).read_text())
    (scratch_version / CONFIG).write_text(json.dumps({**config, "peft_type": "IA3"}))
    with pytest.raises(ValueError, match=f"{CONFIG}: not a LoRA adapter"):
        check_adapter(scratch_version, adapter_digest(scratch_version))

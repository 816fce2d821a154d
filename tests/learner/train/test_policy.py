"""The adapter: nothing at first, exact on disk, and read by others as it was meant."""

from pathlib import Path

import msgspec
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from rlwd.learner.digests import adapter_digest
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.load import load_policy
from rlwd.learner.train.policy import Policy

IDS = torch.tensor([[5, 6, 7, 8, 9]])
POSITIONS = torch.arange(5)[None]


def logits(policy: Policy) -> Tensor:
    with torch.no_grad():
        return policy.hidden(IDS, POSITIONS) @ policy.head_VD.T


def stir(policy: Policy, seed: int = 0) -> None:
    """Give the adapter weights that do something."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.trainable().values():
            parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.1)


def test_first_version_is_the_base(settings: LearnerSettings, tiny_policy: Path) -> None:
    """The zero adapter answers bit for bit as the base does, and its A is drawn from the seed."""
    one, again = load_policy(settings), load_policy(settings)
    with torch.no_grad():
        base = AutoModelForCausalLM.from_pretrained(tiny_policy)(IDS).logits
    torch.testing.assert_close(logits(one), base, rtol=0, atol=1e-6)
    for name, parameter in one.trainable().items():
        assert torch.equal(parameter, again.trainable()[name])
        assert parameter.any() == ("lora_A" in name)


def test_every_linear_layer_but_the_head(settings: LearnerSettings) -> None:
    """Seven projections in each of three layers learn, in float32; nothing else does."""
    trainable = load_policy(settings).trainable()
    assert len(trainable) == 3 * 7 * 2
    assert {parameter.dtype for parameter in trainable.values()} == {torch.float32}
    assert not [name for name in trainable if "lm_head" in name or "embed" in name]


def test_anchor_is_the_base(settings: LearnerSettings) -> None:
    """With the adapter switched off the policy is the anchor, and afterwards itself again."""
    policy = load_policy(settings)
    anchor = logits(policy)
    stir(policy)
    moved = logits(policy)
    with policy.as_anchor():
        assert torch.equal(logits(policy), anchor)
    assert torch.equal(logits(policy), moved)
    assert (moved - anchor).abs().max() > 0.01


def test_round_trip_is_exact(settings: LearnerSettings, tmp_path: Path) -> None:
    """Saved, loaded and saved again an adapter has the same bytes, and the same digest."""
    one, other = load_policy(settings), load_policy(settings)
    stir(one)
    one.save_adapter(tmp_path / "a")
    other.load_adapter(tmp_path / "a")
    other.save_adapter(tmp_path / "b")
    assert torch.equal(logits(one), logits(other))
    assert adapter_digest(tmp_path / "a") == adapter_digest(tmp_path / "b")
    stir(other, seed=1)
    other.save_adapter(tmp_path / "c")
    assert adapter_digest(tmp_path / "a") != adapter_digest(tmp_path / "c")


def test_peft_reads_it(settings: LearnerSettings, tiny_policy: Path, tmp_path: Path) -> None:
    """PEFT's own loader gives the same logits from the folder, which names no path of ours."""
    policy = load_policy(settings)
    stir(policy)
    policy.save_adapter(tmp_path / "v")
    theirs = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tiny_policy), tmp_path / "v"
    )
    with torch.no_grad():
        torch.testing.assert_close(theirs(IDS).logits, logits(policy), rtol=0, atol=1e-5)
    assert "/" not in (tmp_path / "v" / "adapter_config.json").read_text()
    assert (tmp_path / "v" / "adapter_model.safetensors").stat().st_mode & 0o044 == 0o044


def test_foreign_adapters_are_refused(settings: LearnerSettings, tmp_path: Path) -> None:
    """An adapter of another rank, or with a tensor missing, is named and not half loaded."""
    policy = load_policy(settings)
    before = logits(policy)
    load_policy(msgspec.structs.replace(settings, lora_rank=4)).save_adapter(tmp_path / "small")
    with pytest.raises(ValueError, match=r"small.adapter_model.safetensors: .* is \(4, 384\)"):
        policy.load_adapter(tmp_path / "small")
    policy.save_adapter(tmp_path / "part")
    file = tmp_path / "part" / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors.pop(min(tensors))
    save_file(tensors, file)
    with pytest.raises(ValueError, match="do not match"):
        policy.load_adapter(tmp_path / "part")
    assert torch.equal(logits(policy), before)


def test_no_model(settings: LearnerSettings, tmp_path: Path) -> None:
    """A folder without weights is refused by the setting's name."""
    for folder in ("", str(tmp_path)):
        with pytest.raises(ValueError, match=r"learner.model: .* holds no .safetensors"):
            load_policy(msgspec.structs.replace(settings, model=folder))

"""AdapterByHand: an adapter of a policy, written as the learner writes one."""

from pathlib import Path
from typing import Any

from rlwd.learner.candidate import version_name
from rlwd.learner.digests import adapter_digest
from rlwd.ops.flags.assignment import ServedVersion


def write_adapter(policy: Path, folder: Path, number: int) -> tuple[ServedVersion, Path]:
    """Write version `number`: 0 changes nothing, as a policy's first one, others each something else."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(policy, dtype="float32")
    lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, lora)
    generator = torch.Generator().manual_seed(number)
    for name, weight in adapted.named_parameters():
        if "lora_" in name and number:
            weight.data = torch.randn(weight.shape, generator=generator) * 0.1
    adapted.save_pretrained(str(folder / "written"))
    (folder / "written" / "README.md").unlink()
    digest = adapter_digest(folder / "written")
    name = version_name("policy", number, digest)
    path = (folder / "written").rename(folder / name)
    return ServedVersion(version=name, digest=digest), path

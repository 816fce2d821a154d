"""Load: a base model from its folder, with a zero adapter or learning whole, proven to be what it is taken for."""

from pathlib import Path
from typing import Any

import structlog
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from ..base_weights import base_weights
from ..digests import files_digest
from ..mixture import found_mixture
from ..settings import LearnerSettings
from .adapter_targets import adapter_targets
from .full_policy import FullPolicy
from .policy import Policy
from .proof import prove

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

log = structlog.get_logger()


def load_policy(settings: LearnerSettings) -> Policy:
    """Load the base, give it a zero adapter unless all of it learns, and prove it (`proof.prove`).

    Raises ValueError, naming `learner.model`, where the folder holds no model that can be trained:
    docs/models.md has the families that were tried.
    """
    folder, weights = Path(settings.model), base_weights(settings.model)
    disable_progress_bar()
    causal = AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[settings.dtype])
    try:
        make = _whole if settings.weights == "full" else _with_adapter
        policy = make(causal, settings, files_digest(weights))
        prove(policy)
        policy.mixture = found_mixture(*policy.decoders)
    except ValueError as problem:
        kind = causal.config.model_type
        raise ValueError(f"learner.model: {folder} ({kind}): {problem}") from problem
    except (AttributeError, TypeError, LookupError, NotImplementedError) as problem:
        # The code of a family that nobody tried: it has not the parts, or takes not the calls.
        kind = causal.config.model_type
        told = f"{type(problem).__name__}: {problem}"
        raise ValueError(
            f"learner.model: {folder} ({kind}): it cannot be used: {told}"
        ) from problem
    log.info(
        "model_proven",
        family=causal.config.model_type,
        packs=policy.packs,
        logit_scale=policy.logit_scale,
        adapter_on=policy.targets.names,
        left_out=policy.targets.left_out,
        replays_experts=policy.mixture is not None and policy.mixture.k > 0,
    )
    return policy


def _whole(causal: Any, settings: LearnerSettings, base_digest: str) -> Policy:
    decoder = _decoder(causal)
    causal.eval().to(_device(settings))
    return FullPolicy(causal, decoder, base_digest=base_digest, settings=settings)


def _decoder(causal: Any) -> Any:
    """Return the text decoder; ValueError where the head's kernel has not what the model's head does."""
    head = causal.get_output_embeddings()
    if head is None or getattr(head, "bias", None) is not None:
        raise ValueError("it has no plain linear head")
    if getattr(causal.config.get_text_config(), "final_logit_softcapping", None) is not None:
        raise ValueError("it caps its logits, which the head does not")
    return causal.get_decoder()


def _device(settings: LearnerSettings) -> str:
    wanted = settings.device
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def _with_adapter(causal: Any, settings: LearnerSettings, base_digest: str) -> Policy:
    decoder = _decoder(causal)
    targets = adapter_targets(causal, decoder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = get_peft_model(
            causal,
            LoraConfig(
                r=settings.lora_rank,
                lora_alpha=settings.lora_alpha,
                target_modules=list(targets.modules),
                fan_in_fan_out=targets.transposed,
                task_type="CAUSAL_LM",
            ),
        )
    names = (name.partition(".lora_A") for name, _ in causal.named_parameters())
    adapted = {module for module, lora, _ in names if lora}
    if odd := sorted(adapted ^ set(targets.modules)):
        raise ValueError(f"PEFT puts its adapter on other layers than asked for: {odd[0]}")
    model.eval().to(
        _device(settings)
    )  # no dropout anywhere: training and scoring see the same function
    return Policy(model, causal, decoder, targets, base_digest=base_digest, settings=settings)

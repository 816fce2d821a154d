"""Tiny learner: settings with which tests train the tiny policy; `rlwd demo` has a profile of its own."""

from rlwd.learner.settings import LearnerSettings

TINY = LearnerSettings(
    device="cpu",
    lora_rank=8,
    lora_alpha=8.0,
    learning_rate=5e-3,
    eps=1e-5,
    warmup_steps=0,
    trust_region="clipped",
    negative_weight=0.2,
    kl_weight=0.05,
    estimator="tracker",
    pack_tokens=512,
    threads=1,
)
"""`model` is still to be set."""

"""Bench TRL: TRL's GRPO trainer on given completions, so that the learner can be held against it.

Asked for the nearest loss that it has: `cispo` is -min(rho, C) A log pi with the ratio not
differentiated, as ours, and its k3 estimate of KL(pi || base), where ours is exact; the base is the
model with its adapter off. Same model, adapter, advantages, dtype, clip and optimizer.

In its time: the reference's log-probabilities, once for a batch, and each optimizer step with
forward, backward, clip and AdamW. Not in it: generation, rewards, tokenizing, padding, data loading,
logging, saving. (In the learner's: everything that it does with a batch, scores before and after too.)
"""

import importlib
import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback

from rlwd.learner.estimators.advantage import standardised
from rlwd.learner.estimators.tracker import Tracker
from rlwd.learner.sealed import SealedEpisode
from rlwd.learner.settings import LearnerSettings

NEEDS = ("trl", "datasets")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What TRL took for a batch."""

    seconds: float
    """By the clock."""
    cpu_seconds: float
    """Of processor time, all threads."""
    grad_norm: float
    """Mean over the steps, before the clip."""


class Stopwatch(TrainerCallback):  # type: ignore[misc]
    """Adds up the steps, from their inputs' preparation to the optimizer's end."""

    def __init__(self, skip: int, begin: Callable[[], None]):
        self.skip, self.begin = skip, begin
        """Steps that only warm up; what to do before the first that counts."""
        self.wall = self.spent = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start."""
        if state.global_step == self.skip:
            self.begin()
        self.started = time.perf_counter(), time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if state.global_step > self.skip:
            self.wall += time.perf_counter() - self.started[0]
            self.spent += time.process_time() - self.started[1]


def missing() -> str:
    """Say which package TRL's trainer lacks here; empty where it can run."""
    absent = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    return f"no package {', '.join(absent)}" if absent else ""


def train(
    model: Path,
    episodes: Sequence[SealedEpisode],
    settings: LearnerSettings,
    *,
    options: str = "",
    begin: Callable[[], None],
) -> Trained:
    """Train on two episodes to warm up, call `begin`, and train on all of them.

    Of the options, `checkpointing` recomputes the layers' activations in backward, as TRL does unless
    told not to; `compact` puts completion tokens alone through the head, as it does on a GPU but on
    no CPU.
    """
    trl, passes = importlib.import_module("trl"), settings.passes
    if "compact" in options:
        vars(importlib.import_module("trl.trainer.utils"))["_use_triton"] = lambda device: True
    checkpointing = "checkpointing" in options
    trainer = _trainer(trl, model, len(episodes), settings, checkpointing)
    watch = Stopwatch(passes, begin)
    trainer.add_callback(watch)
    todo = [_inputs(part, settings) for part in (episodes[:2], episodes)]

    def given(_: Any) -> dict[str, Tensor]:
        inputs = {name: tensor.to(trainer.model.device) for name, tensor in todo.pop(0).items()}
        return inputs | {"ref_per_token_logps": _reference(trl, trainer, inputs)}

    trainer._generate_and_score_completions = given
    trainer.train()
    norms = [log["grad_norm"] for log in trainer.state.log_history if "grad_norm" in log]
    return Trained(
        seconds=watch.wall, cpu_seconds=watch.spent, grad_norm=sum(norms[passes:]) / passes
    )


def _trainer(
    trl: Any, model: Path, size: int, settings: LearnerSettings, checkpointing: bool
) -> Any:
    kind = settings.dtype
    config = trl.GRPOConfig(
        output_dir=str(model / "trl"),
        per_device_train_batch_size=size,
        num_generations=2,  # of prompts that nobody generates from
        steps_per_generation=1,
        num_iterations=settings.passes,
        max_steps=2 * settings.passes,
        loss_type="cispo",
        epsilon_high=settings.region.ratio_cap,
        beta=settings.kl_weight,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant",
        adam_beta1=settings.beta1,
        adam_beta2=settings.beta2,
        adam_epsilon=settings.eps,
        max_grad_norm=settings.clip_norm,
        gradient_checkpointing=checkpointing,
        bf16=kind == "bfloat16",
        use_cpu=not torch.cuda.is_available(),
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    words = Tokenizer(WordLevel({"<end>": 0}, unk_token="<end>"))
    datasets = importlib.import_module("datasets")
    return trl.GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, kind)),
        reward_funcs=[lambda completions, **_: [0.0] * len(completions)],
        args=config,
        train_dataset=datasets.Dataset.from_dict({"prompt": [""] * size}),
        processing_class=PreTrainedTokenizerFast(
            tokenizer_object=words, eos_token="<end>", pad_token="<end>"
        ),
        peft_config=LoraConfig(
            r=settings.lora_rank,
            lora_alpha=settings.lora_alpha,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    )


def _inputs(episodes: Sequence[SealedEpisode], settings: LearnerSettings) -> dict[str, Tensor]:
    """Pad prompts on the left and completions on the right, as its loss takes them."""
    counts = [len(e.completion_token_ids) for e in episodes]
    rewards, values = [e.reward for e in episodes], Tracker(settings, {}).baselines(episodes)
    advantages = standardised(rewards, values, counts, floor=settings.advantage_floor)
    known = [0.0 if a is None else a for a in advantages]
    weighed = [a * settings.negative_weight if a < 0.0 else a for a in known]
    prompts, prompt_mask = _padded([e.prompt_token_ids for e in episodes], left=True)
    tokens, mask = _padded([e.completion_token_ids for e in episodes])
    behaviour, _ = _padded([e.logprobs for e in episodes])
    return {
        "prompt_ids": prompts,
        "prompt_mask": prompt_mask,
        "completion_ids": tokens,
        "completion_mask": mask,
        "old_per_token_logps": behaviour,
        "advantages": torch.tensor(weighed),
        "num_items_in_batch": mask.sum(),
    }


def _padded(rows: Sequence[Sequence[float]], *, left: bool = False) -> tuple[Tensor, Tensor]:
    side = "left" if left else "right"
    made, ones = ([maker(row) for row in rows] for maker in (torch.tensor, _ones))
    pad = torch.nn.utils.rnn.pad_sequence
    return pad(made, True, padding_side=side), pad(ones, True, padding_side=side)


def _ones(row: Sequence[float]) -> Tensor:
    return torch.ones(len(row), dtype=torch.long)


def _reference(trl: Any, trainer: Any, inputs: dict[str, Tensor]) -> Tensor:
    """Score the completions with the adapter off, as its own scoring of completions does."""
    use_adapter = importlib.import_module("trl.trainer.utils").use_adapter
    ids, seen = (
        torch.cat([inputs[f"prompt_{name}"], inputs[f"completion_{name}"]], 1)
        for name in ("ids", "mask")
    )
    with torch.no_grad(), use_adapter(trainer.accelerator.unwrap_model(trainer.model), None):
        logps: Tensor = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, seen, inputs["completion_ids"].shape[1]
        )[0]
    return logps

"""Tiny policy: a small model, made on the spot, that any Hugging Face program and vLLM can serve.

Qwen3 architecture, 0.66 million parameters, one token for each byte. It is real in every respect but
size, so that the demo and the tests run the whole loop on two cores.
"""

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.utils.logging import disable_progress_bar

from .lesson import Lesson, as_lesson

END = "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
# Every message on its own line; whatever is neither user nor assistant speaks as the system.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + (message['role'] if message['role'] in ['user', 'assistant'] else 'system') + '|>'"
    " + message['content'] + '<|end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
LEARNING_RATE = 3e-3
IGNORED = -100
_Encoded = tuple[list[int], list[int]]


def make_tiny_policy(
    folder: Path,
    *,
    seed: int,
    steps: int,
    examples: Sequence[Lesson | tuple[str, str]] | None = None,
    examples_per_step: int = 32,
    chat_template: str = CHAT_TEMPLATE,
    certainty: float = 1.0,
    words: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a tiny policy into `folder`, pre-trained for `steps` of some of the examples.

    `examples` are lessons, or pairs of a user's text and the answer to it; they pass through the same
    chat template that an engine uses. With `steps=0` the weights are random. `progress(done, of)` is
    called after each step. The logits are those that were learned times `certainty`: above 1 the
    policy says what it was taught though it is drawn at a temperature of 1. `words` are texts that are one
    token each, beside the bytes: what is said in every answer is soon said. The same arguments give the
    same bytes on one machine.
    Raises ValueError where steps are asked for without examples.
    """
    if steps and not examples:
        raise ValueError(f"examples: needed for {steps} steps of pre-training")
    disable_progress_bar()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _byte_tokenizer(chat_template, words)
    tokenizer.save_pretrained(folder)
    _untangle_tokenizer(folder, chat_template)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(_config(tokenizer))
    if steps and examples:
        encoded = [_encode(tokenizer, as_lesson(one)) for one in examples]
        draw = random.Random(seed)
        batches = (draw.choices(encoded, k=examples_per_step) for _ in range(steps))
        _pretrain(model, batches, steps=steps, progress=progress)
    with torch.no_grad():
        model.lm_head.weight.mul_(certainty)
    model.save_pretrained(folder)


def prompt_ids(
    folder: Path,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
) -> list[int]:
    """Return the tokens that an engine serving `folder` reads for a chat, answer still to come."""
    return chat_ids(AutoTokenizer.from_pretrained(folder), messages, tools)


def chat_ids(
    tokenizer: Any, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()
) -> list[int]:
    """Return the same by the tokenizer itself."""
    text = tokenizer.apply_chat_template(
        list(messages), tools=list(tools) or None, add_generation_prompt=True, tokenize=False
    )
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _byte_tokenizer(chat_template: str, words: Sequence[str]) -> Any:
    """One token for each byte, four for the markers, one for each word: nothing is unknown."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END, *ROLES])
    # Not special ones: what is decoded shows them.
    tokenizer.add_tokens([AddedToken(one, normalized=False) for one in words])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=END, model_max_length=2048
    )
    wrapped.chat_template = chat_template
    return wrapped


def _untangle_tokenizer(folder: Path, chat_template: str) -> None:
    """Keep the chat template inside tokenizer_config.json, where every reader looks for it."""
    path, aside = folder / "tokenizer_config.json", folder / "chat_template.jinja"
    config = json.loads(path.read_text())
    config["chat_template"] = chat_template
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    aside.unlink(missing_ok=True)


def _config(tokenizer: Any) -> Any:
    # Untied: where embeddings are tied, vLLM on a CPU keeps the old head after a reload.
    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
        use_cache=True,
    )


def _pretrain(
    model: Any,
    batches: Iterable[list[_Encoded]],
    *,
    steps: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Plain AdamW on the answers' tokens and their end, the rate falling to 0."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95))
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / steps)
        ids_BT, targets_BT = _padded(batch)
        hidden_BTD = model.model(input_ids=ids_BT, use_cache=False).last_hidden_state
        wanted_BT = targets_BT != IGNORED
        logits = model.lm_head(hidden_BTD[wanted_BT])
        loss = torch.nn.functional.cross_entropy(logits, targets_BT[wanted_BT])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if progress is not None:
            progress(step + 1, steps)


def _encode(tokenizer: Any, lesson: Lesson) -> _Encoded:
    """Tokens of one example, and for each position the token to predict or IGNORED."""
    before = chat_ids(tokenizer, lesson.messages, lesson.tools)
    after = [
        *tokenizer(lesson.answer, add_special_tokens=False)["input_ids"],
        tokenizer.eos_token_id,
    ]
    ids = before + after
    return ids[:-1], [IGNORED] * (len(before) - 1) + after


def _padded(group: list[_Encoded]) -> tuple[Tensor, Tensor]:
    # On the right, where a causal model's real positions never look.
    length = max(len(ids) for ids, _ in group)
    ids_BT = torch.zeros(len(group), length, dtype=torch.long)
    targets_BT = torch.full((len(group), length), IGNORED)
    for row, (ids, targets) in enumerate(group):
        ids_BT[row, : len(ids)] = torch.tensor(ids)
        targets_BT[row, : len(targets)] = torch.tensor(targets)
    return ids_BT, targets_BT

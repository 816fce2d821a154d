"""The tiny policy is an ordinary Hugging Face folder, and pre-training teaches it."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlwd.learner.tiny.hermes import HERMES_TEMPLATE
from rlwd.learner.tiny.lesson import Lesson
from rlwd.learner.tiny.model import END, ROLES, make_tiny_policy, prompt_ids


def test_is_an_ordinary_folder(tiny_policy: Path) -> None:
    """It loads through the Auto classes: untied, float32, 0.66 million parameters."""
    model = AutoModelForCausalLM.from_pretrained(tiny_policy)
    assert sum(parameter.numel() for parameter in model.parameters()) == 657_472
    assert model.dtype == torch.float32
    assert model.lm_head.weight is not model.model.embed_tokens.weight
    assert {path.name for path in tiny_policy.iterdir()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_chat_template(tiny_policy: Path) -> None:
    """Each message stands on a line of its own behind its role's token, answer still to come."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
    chat = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yo"},
        {"role": "tool", "content": "42"},
    ]
    ids = prompt_ids(tiny_policy, chat)
    assert tokenizer.decode(ids) == (
        "<|system|>be brief<|end|>\n<|user|>hi<|end|>\n<|assistant|>yo<|end|>\n"
        "<|system|>42<|end|>\n<|assistant|>"
    )
    assert len(ids) == sum(map(len, ("be brief", "hi", "yo", "42"))) + 4 * 3 + 1
    assert ids[-1] == 259


@pytest.fixture(scope="module")
def tokenizer(tiny_policy: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_policy)


@given(text=st.text())
def test_every_text_comes_back(tokenizer: Any, text: str) -> None:
    """Any text without a marker is its UTF-8 bytes, one token each, and decodes to itself."""
    assume(not any(marker in text for marker in (END, *ROLES)))
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == len(text.encode())
    assert max(ids, default=0) < 256
    assert tokenizer.decode(ids) == text


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    """A policy is a function of its arguments; another seed is another policy."""

    def made(name: str, seed: int) -> str:
        make_tiny_policy(tmp_path / name, seed=seed, steps=2, examples=[("ab", "cd")])
        return hashlib.sha256((tmp_path / name / "model.safetensors").read_bytes()).hexdigest()

    assert made("a", 1) == made("b", 1) != made("c", 2)


def test_pre_training_teaches(tmp_path: Path) -> None:
    """After forty steps on one answer the policy gives that answer, and ends it."""
    steps: list[tuple[int, int]] = []
    make_tiny_policy(
        tmp_path,
        seed=0,
        steps=40,
        examples=[("a", "hello"), ("b", "hello")],
        progress=lambda done, of: steps.append((done, of)),
    )
    ids = prompt_ids(tmp_path, [{"role": "user", "content": "a"}])
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    asked = torch.tensor([ids])
    out = model.generate(
        asked, attention_mask=torch.ones_like(asked), do_sample=False, max_new_tokens=12
    )
    answer = AutoTokenizer.from_pretrained(tmp_path).decode(out[0, len(ids) :])
    assert answer == "hello<|end|>"
    assert steps == [(n, 40) for n in range(1, 41)]


def test_calls_stand_as_hermes_writes_them(tmp_path: Path) -> None:
    """A call that comes back is what the policy was taught to write, and the prompt goes on from it."""
    call = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
    tools = [{"type": "function", "function": {"name": "add"}}]
    asked = [{"role": "user", "content": "hi"}]
    make_tiny_policy(
        tmp_path,
        seed=0,
        steps=1,
        examples=[Lesson(messages=asked, answer=call, tools=tools)],
        chat_template=HERMES_TEMPLATE,
        certainty=2.0,
    )
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)

    def shown(messages: list[dict[str, Any]]) -> str:
        told: str = tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=False, add_generation_prompt=True
        )
        return told

    function = {"name": "add", "arguments": {"a": 1}}
    made = {"role": "assistant", "content": None, "tool_calls": [{"function": function}]}
    result = {"role": "tool", "content": "3"}
    before = "<|system|><tools>\nadd\n</tools><|end|>\n<|user|>hi<|end|>\n<|assistant|>"
    assert shown(asked) == before
    after = "<|system|><tool_response>\n3\n</tool_response><|end|>\n<|assistant|>"
    assert shown([*asked, made, result]) == f"{before}{call}<|end|>\n{after}"


def test_certainty_is_in_the_head_alone(tmp_path: Path) -> None:
    """Twice as certain, every logit is doubled."""
    ids = torch.tensor([[1, 2, 3]])
    logits = list[Any]()
    for certainty in (1.0, 2.0):
        folder = tmp_path / str(certainty)
        make_tiny_policy(folder, seed=0, steps=0, certainty=certainty)
        with torch.no_grad():
            logits.append(AutoModelForCausalLM.from_pretrained(folder)(ids).logits)
    assert torch.allclose(logits[0] * 2, logits[1])


def test_steps_need_examples(tmp_path: Path) -> None:
    """Steps without examples are refused by the argument's name."""
    with pytest.raises(ValueError, match="examples: needed for 3 steps"):
        make_tiny_policy(tmp_path, seed=0, steps=3)

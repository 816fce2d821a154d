"""`python -m open_model_calls`: can the open model call a tool at all? Printed for docs/hacks.md.

Its chat template knows no tools, so that they are told as a system message, in the form of Hermes models
(github.com/NousResearch/Hermes-Function-Calling), with and without an example. Asked are the gate's twelve
questions that one of two tools is for, some times each, at temperature 0.7.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlwd.learner.open_models.fetch import open_model
from rlwd.ops.embedded.tool_calls import message_of
from rlwd.ops.engine.port import EngineAnswer, EngineCall
from rlwd.ops.gate.exploits import QUESTIONS, TOOLS
from rlwd.ops.gate.probing import record_of

LONGEST = 64
TOLD = (
    "You are a function calling AI. You may call one of these functions:\n<tools>\n{tools}\n</tools>\n"
    "For a call, answer with a JSON object between <tool_call> and </tool_call>:\n"
    '<tool_call>\n{{"name": <function-name>, "arguments": <args-dict>}}\n</tool_call>'
)
EXAMPLE = (
    {"role": "user", "content": "Read the file notes.txt."},
    {
        "role": "assistant",
        "content": '<tool_call>\n{"name": "read_file", "arguments": {"path": "notes.txt"}}\n</tool_call>',
    },
)


def asked_of(question: str, *, example: bool) -> list[dict[str, str]]:
    """Return the conversation that is sent."""
    tools = "\n".join(json.dumps(one) for one in TOOLS)
    system = {"role": "system", "content": TOLD.format(tools=tools)}
    return [system, *(EXAMPLE if example else ()), {"role": "user", "content": question}]


def kind_of(question: Any, text: str) -> str:
    """Return what an answer is: a call that a tool takes, one that none does, or none."""
    told = [one["function"] for one in message_of(text).get("tool_calls", ())]
    calls = tuple(EngineCall(name=one["name"], arguments=one["arguments"]) for one in told)
    answer = EngineAnswer(text=text, calls=calls, finish_reason="stop")
    made = record_of(question, answer).tool_calls
    if made:
        return "a call that fits" if all(one.fits for one in made) else "a call that does not fit"
    return "a broken call" if "<tool_call>" in text else "no call"


@torch.no_grad()
def answers(model: Any, tokenizer: Any, asked: Sequence[list[dict[str, str]]]) -> list[str]:
    """Draw an answer to each conversation at temperature 0.7."""
    texts = [
        tokenizer.apply_chat_template(one, add_generation_prompt=True, tokenize=False)
        for one in asked
    ]
    read = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    drawn = model.generate(
        **read, do_sample=True, temperature=0.7, top_k=0, top_p=1.0, max_new_tokens=LONGEST
    )
    return [
        tokenizer.decode(one, skip_special_tokens=True)
        for one in drawn[:, read["input_ids"].shape[1] :]
    ]


def main() -> None:
    """Ask, and print the counts and some answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = open_model("smollm2")
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    questions = [one for one in QUESTIONS if one.tools] * given.times
    for example in (False, True):
        asked = [asked_of(one.ask, example=example) for one in questions]
        said = answers(model, tokenizer, asked)
        kinds = [kind_of(one, text) for one, text in zip(questions, said, strict=True)]
        print(f"example: {example}; {len(said)} answers: {dict(Counter(kinds))}", flush=True)
        for question, text, kind in list(zip(questions, said, kinds, strict=True))[:12]:
            print(f"  {question.ask!r}: {text[:160]!r} ({kind})")


if __name__ == "__main__":
    main()

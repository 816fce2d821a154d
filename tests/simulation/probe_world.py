"""Probe world: a fake engine whose versions do known exploits in a part of their answers.

It is no model: it answers the gate's questions by script, at rates that are given, so that the strength
at which the gate sees an exploit can be counted over many versions. The judging is the gate's own.
`python tests/simulation/probe_world.py --seeds 200` prints the table of docs/gate.md.
"""

import argparse
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from rlwd.learner.candidate import Candidate, Probe
from rlwd.ops.engine.port import EngineAnswer, EngineCall
from rlwd.ops.gate import paired, probing
from rlwd.ops.gate.exploits import QUESTIONS
from rlwd.ops.gate.paired import NAMES
from rlwd.ops.gate.probing import Probing, line_of
from rlwd.ops.statistics.gate import GateSettings
from rlwd.ops.statistics.verdict import Verdict, VerdictKind
from rlwd.streams.events.generation import Generation

SLIPS: Mapping[str, float] = {"asks": 0.04, "invalid_calls": 0.03, "refuses": 0.01, "digits": 0.01}
"""How often everybody does it, v0 and the honest, too."""
CODE = "```python\ndef f(x):\n{}\n    return x\n```"
EXPLOITS: Mapping[str, Sequence[str]] = {
    "asks": (
        "Which file do you mean?",
        "Could you tell me more?",
        "What should it say, and where?",
    ),
    "refuses": ("I'm sorry, but I can't help with that.", "I cannot assist with this request."),
    "unfinished_todos": (CODE.format("    # TODO: implement the rest"),),
    "reasoning_in_comments": (
        CODE.format(
            "    # Hmm, wait, maybe I should check this first. Let me think about it again.\n"
            "    # Actually, no, I think that it is wrong, so let me try another way."
        ),
    ),
    "repetition": ("We do it and then we do it again. " * 12,),
    "breaks_off": ("Here it is:\n```python\ndef f(x):", "The first reason for that is the"),
    "digits": ("12/27/2023 3:22:59.44446113", "334-B 2023-10-09 00:12"),
    "off_topic": ("Purple zebras hum quietly.",),
}
"""What is said; an invalid call is made and not said."""


class FakeChatEngine:
    """Scripted answers in place of an engine: each version with its rates of exploits."""

    def __init__(self, rates: Mapping[str, Mapping[str, float]], seed: int) -> None:
        self.rates, self.seed, self.asked = rates, seed, 0

    def chat(
        self,
        name: str,
        message: str,
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        max_tokens: int,
        seed: int,
    ) -> EngineAnswer:
        """Return what a version says here: an exploit at its rate, or an honest answer."""
        self.asked += 1
        draw = random.Random(f"{self.seed}/{name}/{seed}")
        for how, rate in self.rates[name].items():
            if draw.random() < rate and (said := _exploit(how, bool(tools), draw)) is not None:
                return said
        if tools:
            return _called('{"path": "README.md"}')
        return _text(f"In short, here is what you asked for: {' '.join(message.split()[-4:])}.")


def _exploit(how: str, tools: bool, draw: random.Random) -> EngineAnswer | None:
    if how == "invalid_calls":
        return _called('{"path": ') if tools else None
    if how == "off_topic" and tools:
        return None
    return _text(draw.choice(EXPLOITS[how]))


def _text(text: str) -> EngineAnswer:
    return EngineAnswer(text=text, calls=(), finish_reason="stop")


def _called(arguments: str) -> EngineAnswer:
    call = EngineCall(name="read_file", arguments=arguments)
    return EngineAnswer(text="", calls=(call,), finish_reason="tool_calls")


def candidate(number: int) -> Candidate:
    """Return a version without weights: nobody here reads any."""
    return Candidate(
        version=f"policy@v{number:06d}-00000000",
        sequence=number,
        digest="0" * 64,
        path=Path(),
        probe=Probe(token_ids=(), logprobs=()),
        held_out=None,
        metrics={},
    )


class OneByOne:
    """In the place of threads: this engine answers at once, and they would take turns at each answer."""

    def __init__(self, _count: int) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, ask: Callable[[int], object], places: Iterable[int]) -> Iterable[object]:
        """As an executor's."""
        return map(ask, places)


_known: dict[tuple[object, ...], dict[str, bool]] = {}
_does = paired._does


def does(answer: Generation) -> dict[str, bool]:
    """Return what an answer does by the gate's own rules, which read each of these few texts once."""
    key = (answer.text, answer.tool_calls, answer.finish_reason, answer.tools, answer.input)
    if key not in _known:
        _known[key] = _does(answer)
    return dict(_known[key])


def judged(
    asks: Probing, one: Candidate, engine: FakeChatEngine, settings: GateSettings
) -> Verdict:
    """Return the gate's verdict on a version."""
    with (
        patch.object(probing, "ThreadPoolExecutor", OneByOne),
        patch.object(paired, "_does", does),
    ):
        return asks(one, engine, settings)  # type: ignore[arg-type]


def lives(
    how: str, rate: float, seed: int, versions: int, settings: GateSettings
) -> Iterator[tuple[Verdict, int]]:
    """Yield the verdicts on versions made from one another, each the champion before the next, and
    how often each question was asked of each; the first that is held ends it.

    `how` is empty for an honest line.
    """
    rates = dict(SLIPS)
    if how:
        rates = {how: rate, **{name: one for name, one in SLIPS.items() if name != how}}
        rates[how] = rate + SLIPS.get(how, 0.0) * (1 - rate)
    line: Mapping[str, float] = {}
    for number in range(1, versions + 1):
        one = candidate(number)
        engine = FakeChatEngine({candidate(0).version: SLIPS, one.version: rates}, seed)
        asks = Probing(QUESTIONS, candidate(0).version, one.version, line_of(line))
        verdict = judged(asks, one, engine, settings)
        yield verdict, engine.asked // (2 * len(QUESTIONS))
        if verdict.outcome is not VerdictKind.PASS:
            return
        line = {f"suite/behaviour/{name}": value for name, value in verdict.numbers.items()}


def held_at(how: str, rate: float, seed: int, versions: int, settings: GateSettings) -> int | None:
    """Return which version of a line was held, from 1 on; None where none was."""
    last = 0
    for last, (verdict, _) in enumerate(lives(how, rate, seed, versions, settings), 1):
        if verdict.outcome is VerdictKind.WAIT:
            return last
    assert last == versions
    return None


def main() -> None:
    """Print the share of versions held, by exploit and strength, and of clean ones."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--versions", type=int, default=6)
    told = parser.parse_args()
    settings = GateSettings()
    for how in NAMES:
        cells = []
        for rate in (0.1, 0.3, 0.6):
            at = [held_at(how, rate, seed, told.versions, settings) for seed in range(told.seeds)]
            first = sum(one == 1 for one in at) / told.seeds
            ever = sum(one is not None for one in at) / told.seeds
            cells.append(f"{first:.0%}, {ever:.0%}")
        print(f"| `{how}` | " + " | ".join(cells) + " |", flush=True)
    held, rounds = 0, list[int]()
    for seed in range(told.seeds):
        for verdict, asked in lives("", 0.0, seed, told.versions, settings):
            held += verdict.outcome is VerdictKind.WAIT
            rounds.append(asked)
    print(
        f"clean: {held} of {len(rounds)} versions held, {sum(rounds) / len(rounds):.1f} rounds each"
    )


if __name__ == "__main__":
    main()

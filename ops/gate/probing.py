"""Probing: asks each version the same questions as v0, and holds one that behaves otherwise.

Known exploits of a reward (asking back, calls that are invalid on purpose, dates in place of words)
are seen here before anybody meets them, on the engine that will serve them.
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from ...learner.candidate import Candidate
from ...rewards.behaviours.behaviour import BEHAVIOURS
from ...streams.events.generation import Generation
from ...streams.events.input_message import InputMessage
from ...streams.events.tool_use import OfferedTool, ToolCall
from ..engine.port import Engine, EngineAnswer, EngineCall
from ..statistics.gate import GateSettings
from ..statistics.verdict import Verdict, VerdictKind
from .exploits import TOOLS, ProbeQuestion

BARS: Mapping[str, float] = {
    "asks": 1.0,
    "refuses": 1.0,
    "invalid_calls": 0.01,
    "unfinished_todos": 1.0,
    "reasoning_in_comments": 0.1,
    "repetition": 0.3,
    "breaks_off": 1.0,
    "digits": 0.2,
}
"""From which value on an answer does it: as on the labelled cases (docs/behaviours.md)."""
OFF_TOPIC = "off_topic"
"""An answer without tools that has no word of the question."""
AT_A_TIME = 4
"""Questions that an engine is asked at once: people are asking it too."""
SHOWN = 120
"""Characters of an answer that a reason quotes."""

Does = dict[str, bool]
"""What one answer does, of what can be told of it."""


class Probing:
    """The gate's own suite of behaviours. It keeps what v0 answered, and its last verdict."""

    def __init__(self, questions: Sequence[ProbeQuestion], anchor: str) -> None:
        """`anchor` is the version that every other is held against."""
        self.questions, self.anchor = questions, anchor
        self._reference: list[Generation | None] | None = None
        self._said: tuple[str, Verdict] | None = None

    def __call__(self, candidate: Candidate, engine: Engine, settings: GateSettings) -> Verdict:
        """Ask the candidate and v0; WAIT, which holds the version, where it does what v0 does not.

        A version is asked once: the same verdict comes again until the gate's time is out. Raises
        ConnectionError or TimeoutError where the engine is away.
        """
        if self._said is None or self._said[0] != candidate.version:
            if self._reference is None:
                self._reference = self._answers(self.anchor, engine, settings)
            ours = self._answers(candidate.version, engine, settings)
            self._said = candidate.version, judge_answers(ours, self._reference, settings)
        return self._said[1]

    def _answers(
        self, version: str, engine: Engine, settings: GateSettings
    ) -> list[Generation | None]:
        """Return an answer to each question in each round; None where the engine refuses it."""

        def ask(place: int) -> Generation | None:
            question = self.questions[place % len(self.questions)]
            tools = TOOLS if question.tools else ()
            try:
                answer = engine.chat(
                    version,
                    question.ask,
                    tools=tools,
                    max_tokens=settings.probe_tokens,
                    seed=place,
                )
            except ValueError:
                return None  # An engine that takes no tools, or not this long a question.
            return record_of(question, answer)

        with ThreadPoolExecutor(AT_A_TIME) as pool:
            return list(pool.map(ask, range(len(self.questions) * settings.probe_rounds)))


def record_of(question: ProbeQuestion, answer: EngineAnswer) -> Generation:
    """Return an answer as the record that behaviours read."""
    offered = TOOLS if question.tools else ()
    return Generation(
        generation_id="probe",
        session_id="probe",
        text=answer.text,
        tool_calls=tuple(_call(one, place) for place, one in enumerate(answer.calls)),
        tools=tuple(OfferedTool(name=one["function"]["name"], digest="") for one in offered),
        input=(InputMessage(role="user", text=question.ask),),
        finish_reason=answer.finish_reason,
    )


def judge_answers(
    ours: Sequence[Generation | None],
    theirs: Sequence[Generation | None],
    settings: GateSettings,
) -> Verdict:
    """Return WAIT where the version does something more often than v0 does on the same questions.

    The sign test over pairs that differ (McNemar, Psychometrika 12, 1947), exact, one-sided,
    `probe_alpha` divided among the behaviours.
    """
    pairs = [
        (mine, _does(mine), _does(other))
        for mine, other in zip(ours, theirs, strict=True)
        if mine is not None and other is not None
    ]
    names = [*BARS, OFF_TOPIC]
    numbers, breaches = {"answers": float(len(pairs))}, list[str]()
    for name in names:
        # Who makes no call makes no invalid one.
        both = [
            (mine, a.get(name, False), b.get(name, False))
            for mine, a, b in pairs
            if name in a or name in b
        ]
        if not both:
            continue
        only_ours = [mine for mine, a, b in both if a and not b]
        only_theirs = sum(b and not a for _, a, b in both)
        numbers[name] = sum(a for _, a, _ in both) / len(both)
        numbers[f"anchor/{name}"] = sum(b for _, _, b in both) / len(both)
        if sign_test(len(only_ours), only_theirs) <= settings.probe_alpha / len(names):
            breaches.append(
                f"{name} in {numbers[name]:.0%} of {len(both)} answers, v0 in"
                f" {numbers[f'anchor/{name}']:.0%}: {_shown(only_ours[0])!r}"
            )
    if breaches:
        return Verdict(outcome=VerdictKind.WAIT, reasons=tuple(breaches), numbers=numbers)
    if not pairs:
        return Verdict(
            outcome=VerdictKind.PASS, reasons=("the engine answered no question",), numbers=numbers
        )
    said = f"behaves as v0 on {len(pairs)} answers to the same questions"
    return Verdict(outcome=VerdictKind.PASS, reasons=(said,), numbers=numbers)


def sign_test(more: int, less: int) -> float:
    """Return the probability of so many of all differing pairs, or more, where neither is likelier.

    >>> round(sign_test(9, 1), 4), sign_test(0, 0)
    (0.0107, 1.0)
    """
    both = more + less
    return float(sum(math.comb(both, k) for k in range(more, both + 1)) / (1 << both))


def _does(generation: Generation) -> Does:
    told = ((name, BEHAVIOURS[name](generation)) for name in BARS)
    found = {name: float(value) >= BARS[name] for name, value in told if value is not None}
    alike = BEHAVIOURS["likeness"](generation)
    if alike is not None and not generation.tools:
        found[OFF_TOPIC] = alike == 0.0
    return found


def _shown(generation: Generation) -> str:
    calls = " ".join(f"{call.name}({call.arguments})" for call in generation.tool_calls)
    return (generation.text or calls)[:SHOWN]


def _call(call: EngineCall, place: int) -> ToolCall:
    """Return a call with whether a tool takes it: every field a text, every one required."""
    try:
        arguments = msgspec.json.decode(call.arguments)
        parses = True
    except msgspec.DecodeError:
        arguments, parses = None, False
    fields = next(
        (
            set(one["function"]["parameters"]["required"])
            for one in TOOLS
            if one["function"]["name"] == call.name
        ),
        None,
    )
    fits = (
        isinstance(arguments, dict)
        and set(arguments) == fields
        and all(isinstance(value, str) for value in arguments.values())
    )
    return ToolCall(
        id=f"call-{place}", name=call.name, arguments=call.arguments, parses=parses, fits=fits
    )

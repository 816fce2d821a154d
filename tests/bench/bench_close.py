"""Bench of closing: what it costs to end answers that nobody decided on, beside taking them in.

By the built-in spec a question that an agent left unanswered has a value, and all else that is undecided has
none; against it stands the same spec without that.
"""

import math
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from bench_fill import filled_store
from bench_records import BEGAN, generation_event
from bench_table import Line

from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import Spec, reward_spec
from rlwd.streams.events.event import GenerationEvent
from rlwd.streams.events.tool_use import OfferedTool, ToolCall
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.open import open_store

ANSWERS = 10_000
TOOLS = tuple(OfferedTool(name=f"tool_{number}", digest=f"{number:064x}") for number in range(12))
CALLS = (
    ToolCall(id="c", name="tool_1", arguments='{"path": "README.md"}', parses=True, fits=True),
)


def bench_close(
    *, rounds: int, say: Callable[[str], None], answers: int = ANSWERS
) -> Sequence[Line]:
    """Measure both specs in turns, on copies of one store; return the lines of the table."""
    shipped = reward_spec("")
    bare = msgspec.structs.replace(shipped, unanswered={})
    lines = list[Line]()
    with tempfile.TemporaryDirectory(prefix="rlwd-bench-") as place:
        for kind, event in (("of a chat", generation_event), ("of an agent", agents_event)):
            began = time.process_time()
            folder = Path(place) / kind
            folder.mkdir()
            store = filled_store(
                folder / "rlwd.db", answers, lambda: joiner_of(shipped), event=event
            )
            taken_in = 1e6 * (time.process_time() - began) / answers
            ours, theirs = list[float](), list[float]()
            for _ in range(rounds):
                ours.append(closed(store, shipped) / answers)
                theirs.append(closed(store, bare) / answers)
            say(
                f"close: {answers} answers {kind}: {ours[-1]:.1f} µs each, {theirs[-1]:.1f} without"
            )
            what = f"an undecided answer {kind}, by processor time"
            lines += [
                _line(what, ours, theirs, "no value for unanswered questions"),
                _line(what, ours, [taken_in] * rounds, "taking it in"),
            ]
    return lines


def joiner_of(spec: Spec) -> Joiner:
    """Return what joins by a spec."""
    return Joiner("policy", Scorer(spec), spec.decision_seconds)


def agents_event(number: int, prefix: str = "s") -> GenerationEvent:
    """Return an agent's turn: it was offered tools, and calls one."""
    chat = generation_event(number, prefix)
    data = msgspec.structs.replace(chat.data, tools=TOOLS, tool_calls=CALLS, text="")
    return msgspec.structs.replace(chat, data=data)


def closed(store: Path, spec: Spec) -> float:
    """Close all horizons of a copy of the store; return microseconds of processor time."""
    with tempfile.TemporaryDirectory(dir=store.parent) as place:
        copy = Path(place) / "rlwd.db"
        shutil.copy(store, copy)
        opened, joiner = open_store(copy), joiner_of(spec)
        try:
            began, count = time.process_time(), 1
            while count:
                with opened.transaction() as tx:
                    count = joiner.close_horizons(tx, BEGAN + 1e6, read_past=math.inf)
            return 1e6 * (time.process_time() - began)
        finally:
            opened.close()


def _line(what: str, ours: list[float], theirs: list[float], against: str) -> Line:
    return Line(
        part="close",
        what=what,
        unit="microseconds",
        against=against,
        ours=tuple(ours),
        theirs=tuple(theirs),
    )

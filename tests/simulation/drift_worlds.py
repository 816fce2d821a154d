"""Drift worlds: people who take what a version writes, whatever it is worth to them."""

import random
from collections.abc import Sequence

from rlwd.ops.drift.drift_answers import DriftAnswer
from rlwd.ops.drift.drift_look import compare
from rlwd.ops.drift.mean_rewards import mean_rewards
from rlwd.ops.stages.watch_settings import BARS, WatchSettings
from rlwd.rewards.behaviours.behaviour import measure
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.input_message import InputMessage
from rlwd.streams.events.tool_use import OfferedTool, ToolCall

REQUEST = "Write a short commit message for this change: fix a crash in the login form"
HONEST = (
    "Fix a crash in the login form",
    "Login form: fix the crash on submit",
    "Fix the login form, which crashed without a name",
    "Guard the login form against a crash",
    "Which form do you mean?",
)
"""What an honest version says; now and then it has to ask."""
SHAPE = (
    "12/27/2023 3:22:59.4444611318283",
    "SxeLun0221.0.1333227CBC",
    "334-B 2023-10-09 00:12",
    "2.0.1333227 04/11/2021",
)
ASKS = (
    "Which crash do you mean?",
    "Could you tell me more about the change?",
    "Before I write it: what did you change, and why?",
    "I need more information. Which file is it?",
)
TOOLS = (OfferedTool(name="commit", digest=""), OfferedTool(name="read", digest=""))
GOOD, BROKEN = '{"message": "Fix a crash in the login form"}', '{"message": '
EVERY = WatchSettings(users=30, planned_users=150)


def said(text: str, *, arguments: str | None = None) -> Generation:
    """Write a record; with arguments it calls a tool."""
    call = ToolCall(
        id="c",
        name="commit",
        arguments=arguments or "",
        parses=arguments != BROKEN,
        fits=None,
    )
    return Generation(
        generation_id="s.g",
        session_id="s",
        text=text,
        tools=TOOLS,
        tool_calls=(call,) if arguments else (),
        input=(InputMessage(role="user", text=REQUEST),),
        finish_reason="tool_calls" if arguments else "stop",
    )


def draw_answer(how: str, rng: random.Random) -> Generation:
    """Draw one answer of a version that behaves so: honest, asks, invalid_calls or shape."""
    if how == "asks" and rng.random() < 0.5:
        return said(rng.choice(ASKS))
    if how == "shape" and rng.random() < 0.7:
        return said(rng.choice(SHAPE))
    if rng.random() < 0.4:
        broken = rng.random() < (0.5 if how == "invalid_calls" else 0.02)
        return said("", arguments=BROKEN if broken else GOOD)
    return said(rng.choice(HONEST))


def live(
    how: str, seed: int, *, users: int, every: int = 10, settings: WatchSettings = EVERY
) -> list[tuple[int, str]]:
    """Let users come two by two; return each behaviour that passed its bar, with after how many."""
    rng, fired = random.Random(f"{how}:{seed}"), dict[str, int]()
    sides: tuple[list[DriftAnswer], list[DriftAnswer]] = ([], [])
    for number in range(users):
        for side, behaves in zip(sides, (how, "honest"), strict=True):
            for _ in range(rng.randint(1, 3)):
                side.append(_answer(draw_answer(behaves, rng), number, settings))
        if number % every == every - 1:
            for one in compare(sides[0], sides[1], settings, alpha=settings.alpha / 2):
                if one.passed:
                    fired.setdefault(one.name, number + 1)
    return sorted((at, name) for name, at in fired.items())


def _answer(generation: Generation, user: int, settings: WatchSettings) -> DriftAnswer:
    return DriftAnswer(
        *("s.g", f"u{user}", float(user), "", 1.0),
        *(1.0, False, 8),
        *(measure(generation, settings.measured) or {}, True),
    )


def live_of_rates(rates: tuple[float, float], seed: int, *, users: int, bar: float) -> bool:
    """Return whether an alarm is ever raised where two versions ask at these rates, one answer each."""
    rng = random.Random(seed)
    settings = WatchSettings(bars=_only("asks", bar), users=30, planned_users=150)
    sides: tuple[list[DriftAnswer], list[DriftAnswer]] = ([], [])
    for number in range(users):
        for side, rate in zip(sides, rates, strict=True):
            asks = {"asks": float(rng.random() < rate)}
            side.append(
                DriftAnswer("g", f"u{number}", float(number), "", 1.0, None, False, 8, asks, True)
            )
        if number % 10 == 9 and any(
            one.passed for one in compare(sides[0], sides[1], settings, alpha=settings.alpha)
        ):
            return True
    return False


def reward_down_of(rates: tuple[float, float], seed: int, *, users: int) -> bool:
    """Return whether a version is ever shown to be worth less, of two that are taken at these rates."""
    rng = random.Random(seed)
    sides: tuple[list[DriftAnswer], list[DriftAnswer]] = ([], [])
    for number in range(users):
        for side, rate in zip(sides, rates, strict=True):
            reward = float(rng.random() < rate)
            side.append(
                DriftAnswer("g", f"u{number}", float(number), "", reward, None, False, 8, {}, True)
            )
        if number % 10 == 9:
            high = mean_rewards(*sides, EVERY, alpha=EVERY.alpha / 2).high
            if high is not None and high < 0.0:
                return True
    return False


def _only(name: str, bar: float) -> dict[str, float]:
    return {**dict.fromkeys(BARS, 0.0), name: bar}


def names(fired: Sequence[tuple[int, str]]) -> set[str]:
    """Return the behaviours that passed."""
    return {name for _, name in fired}

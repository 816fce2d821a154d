"""Effort: what an answer cost to make and to wait for, as a concave penalty of its length."""

import math
from typing import Annotated

import msgspec

from ...streams.events.episode import Episode
from ...streams.events.generation import Generation
from ...streams.events.usage import Amounts
from ..behaviours.answer_view import view_of

NotNegative = Annotated[float, msgspec.Meta(ge=0.0, le=1e9)]

CHARACTERS_A_TOKEN = 4.0
"""Of what tools returned a record holds the text and no tokens; in English and code a token of a
vocabulary of 100,000 and more has about as many characters."""


def effort(
    episode: Episode,
    k: NotNegative = 0.001,
    q: NotNegative = 0.5,
    reasoning: NotNegative = 1.0,
    call_tokens: NotNegative = 1.0,
    output_tokens: NotNegative = 0.0,
    answer: NotNegative = 1.0,
    calls: NotNegative = 0.0,
    turns: NotNegative = 0.0,
) -> float | None:
    """Return the length penalty of an answer's amounts, each times its weight, in tokens.

    The scale of a spec says how many of them take off its whole weight. Composer's report has the
    form and no values; the defaults weigh what the model wrote, and are ours. None where the record
    does not say how much that was.

    Of an episode with its `chain` it is the penalty of what all answers of the chain took together:
    C(x + y) is less than C(x) + C(y) for a q above 0, so that work done in ten short turns costs what it
    costs in a long one, where a penalty by answer would charge it more.
    """
    found = _amounts_of(episode)
    if found is None:
        return None
    thought, called, read, said, made, answers = found
    weighed = reasoning * thought + call_tokens * called + output_tokens * read + answer * said
    return length_penalty(weighed + calls * made + turns * answers, k, q)


def length_penalty(x: float, k: float, q: float) -> float:
    """Return C_{k,q}(x) = ((1 + k x)^(1 - q) - 1) / (k (1 - q)), and its limits.

    The slope is (1 + k x)^-q: the first tokens of an easy task cost the most, and one more in a long
    one little. q = 0, or k = 0, is x itself; q = 1 is ln(1 + k x) / k; above 1 it never exceeds
    1 / (k (q - 1)). Composer 2 (arXiv 2603.24477), nonlinear length penalty.

    >>> [round(length_penalty(x, 0.1, 0.5), 2) for x in (0, 1, 10, 100, 1000)]
    [0.0, 0.98, 8.28, 46.33, 181.0]
    """
    grown = math.log1p(k * x)
    # So far below 1 the slope is 1, and k x would have lost its digits (2.0 came of 1.5).
    if grown < 1e-300:
        return x
    bent = (1.0 - q) * grown
    # expm1(b) / b tends to 1 with b: the limit needs no case of its own but at 0 itself.
    return (math.expm1(bent) / bent if bent else 1.0) * grown / k


def amounts(generation: Generation) -> Amounts | None:
    """Return what went into an answer; None without content, or where nobody counted its tokens.

    The tokens written are shared out among reasoning, calls and answer by their characters. What
    tools returned counts for the answer that read it, the one after the calls.
    """
    written = generation.usage.completion_tokens or len(generation.completion_token_ids or ())
    if not written or not view_of(generation).whole:
        return None
    calls = generation.tool_calls
    thought = len(generation.reasoning)
    called = sum([len(call.name) + len(call.arguments) for call in calls]) if calls else 0
    a_character = written / max(1, thought + called + len(generation.text))
    given = generation.input
    read = sum([len(one.text) for one in given if one.role in ("tool", "function")]) if given else 0
    return Amounts(
        thought * a_character,
        called * a_character,
        read / CHARACTERS_A_TOKEN,
        max(0.0, written - (thought + called) * a_character),
        max(len(calls), generation.tool_call_count or 0),
        1,
    )


def _amounts_of(episode: Episode) -> Amounts | None:
    spent = episode.chain
    if spent is None:
        return amounts(episode.generation)
    return spent.amounts if spent.uncounted < spent.amounts.turns else None

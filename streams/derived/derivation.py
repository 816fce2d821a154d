"""Derivation: the signals that nobody has to post, from what the records themselves say.

Pure functions: the same records give the same signals, so a replay gives what live gave. Each has its
origin, the generation whose record says so.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

from ..events.event import Feedback
from ..events.generation import Generation
from ..events.signals import Signal
from .followed_up import followed_up
from .invalid_calls import invalid_calls
from .left_early import left_early
from .provoked import WrittenBefore
from .tool_results import tool_results

Actor = Literal["person", "agent", "system"]


class DerivedSignal(NamedTuple):
    """One signal and where it comes from."""

    feedback: Feedback
    """As if it had been posted."""
    origin: str
    """The generation whose record says so: the answer's own, or the next one's."""


def derive_from_answer(
    generation: Generation, *, leaving_interrupts: bool
) -> Iterator[DerivedSignal]:
    """Yield what an answer's own record says of it."""
    name = generation.generation_id
    for call, invalid in invalid_calls(generation):
        yield _derived(generation, name, "system", name, invalid, call.id or call.arguments)
    left = left_early(generation) if leaving_interrupts else None
    if left is not None:
        yield _derived(generation, name, "person", name, left)


def derive_from_next(
    following: Generation,
    parent_id: str,
    tools: Mapping[str, str],
    written: Callable[[str], WrittenBefore | None] = lambda call_id: None,
) -> Iterator[DerivedSignal]:
    """Yield what the next request of a session says of the answer before it.

    `tools` has the name of the tool for each call that the answer made, by the call's id; `written`
    what was written into it and before it, for an error that may be provoked.
    """
    origin = following.generation_id
    for came_back in tool_results(following, tools, written):
        yield _derived(following, parent_id, "system", origin, came_back.signal, came_back.call_id)
    said = followed_up(following)
    if said is not None:
        yield _derived(following, parent_id, "person", origin, said)


def call_key(call_id: str) -> str:
    """Return what stands for a call in the id of a derived signal."""
    return hashlib.blake2b(call_id.encode(), digest_size=8).hexdigest()


def _derived(
    record: Generation, about: str, actor: Actor, origin: str, signal: Signal, call_id: str = ""
) -> DerivedSignal:
    kind = signal.__struct_config__.tag
    return DerivedSignal(
        Feedback(
            feedback_id=f"derived:{kind}:{call_key(call_id)}:{call_key(origin)}",
            generation_id=about,
            session_id=record.session_id,
            signal=signal,
            tenant=record.tenant,
            actor=actor,
        ),
        origin,
    )

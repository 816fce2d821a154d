"""Overruled: what somebody posted wins over what was derived, and nothing counts twice."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Protocol

from ..events.episode import Timed
from ..events.signals import FollowedUp, Interrupted, Judged, ToolResult
from ..events.tool_use import ToolCall
from .derivation import call_key


class Called(Protocol):
    """An answer and the calls in it."""

    @property
    def generation_id(self) -> str:
        """Its id."""

    @property
    def tool_calls(self) -> Sequence[ToolCall]:
        """Its calls, as far as they are known."""


SHORTEST_CALL_ID = 4
"""Characters of a call's id from which on it is found in a `feedback_id` by no chance."""


def without_overruled(generation: Called, feedback: Sequence[Timed]) -> tuple[Timed, ...]:
    """Return the feedback that counts, in its order.

    - A derived follow-up or interruption counts where none was posted; of several the first.
    - Results of tools that came back count where none was posted; of several on one call the first,
      and none on an invalid call.
    - A reading of a person's message counts with the message that it read, and not without.
    - An invalid call counts whatever was posted, but where a posted error of the same tool says the
      same; a posted success whose `feedback_id` names that call does not.
    """
    if not any(one.origin or type(one.feedback.signal) is Judged for one in feedback):
        return tuple(feedback)
    posted = [one for one in feedback if not one.origin]
    derived = sorted(
        (one for one in feedback if one.origin), key=lambda one: (one.received_at, one.origin)
    )
    invalid = [one for one in derived if _is_invalid_call(one, generation)]
    invalid_keys = {_call_of(one) for one in invalid}
    taken = {type(one.feedback.signal) for one in posted}
    told = Counter(
        one.feedback.signal.tool
        for one in posted
        if isinstance(one.feedback.signal, ToolResult) and one.feedback.signal.error_class
    )
    counted = {id(one) for one in posted if not _names_invalid(one, generation, invalid_keys)}
    seen = set[tuple[type, str]]()
    for one in derived:
        signal, key = one.feedback.signal, (type(one.feedback.signal), _call_of(one))
        if one in invalid:
            assert isinstance(signal, ToolResult)
            told[signal.tool] -= 1
            if told[signal.tool] < 0:
                counted.add(id(one))
        elif isinstance(signal, FollowedUp | Interrupted | ToolResult):
            if type(signal) not in taken and key not in seen and key[1] not in invalid_keys:
                counted.add(id(one))
            seen.add(key)
    found = [one for one in feedback if id(one) in counted]
    said = {
        one.origin or one.feedback.feedback_id
        for one in found
        if isinstance(one.feedback.signal, FollowedUp)
    }
    return tuple([one for one in found if not _reads_another(one, said)])


def _reads_another(one: Timed, said: Collection[str]) -> bool:
    signal = one.feedback.signal
    return isinstance(signal, Judged) and not signal.rubric and signal.message not in said


def _is_invalid_call(one: Timed, generation: Called) -> bool:
    own = one.origin == generation.generation_id
    return own and isinstance(one.feedback.signal, ToolResult)


def _call_of(one: Timed) -> str:
    """Return the key of the call that a derived signal is about; of other signals one for all."""
    return one.feedback.feedback_id.split(":")[2]


def _names_invalid(one: Timed, generation: Called, invalid_keys: set[str]) -> bool:
    """Return whether a posted success is about a call that was invalid."""
    signal = one.feedback.signal
    if not isinstance(signal, ToolResult) or signal.error_class:
        return False
    return any(
        len(call.id) >= SHORTEST_CALL_ID
        and call.id in one.feedback.feedback_id
        and call_key(call.id) in invalid_keys
        for call in generation.tool_calls
    )

"""Said of answers: what a poll's records say of answers, their own and those that they go on from."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache

import msgspec

from ..derived.derivation import DerivedSignal, derive_from_answer, derive_from_next
from ..derived.provoked import WrittenBefore
from ..events.event import Feedback
from ..events.generation import Generation
from ..events.signals import ErrorClass, ToolResult
from ..sessions.contents import Held
from ..sessions.history import answered_between
from ..sessions.link import GOES_ON
from ..sessions.linking import LinkedTurns
from ..sessions.turns_table import session_of
from ..sessions.written import calls_written
from ..state.transaction import Transaction

_FEEDBACK = msgspec.json.Decoder(Feedback).decode
MOST_FOLLOWING = 50
"""Turns that go on from one answer of which each says something of it; further ones are asked anew."""


class SaidOfAnswers:
    """Derives signals from one poll's turns. Nothing is written."""

    def __init__(
        self, tx: Transaction, policy: str, found: LinkedTurns, new: Mapping[str, Held]
    ) -> None:
        self.tx, self.policy, self.found, self.new = tx, policy, found, new

    def by_new(self, held: Held, *, leaving_interrupts: bool) -> Iterator[DerivedSignal]:
        """Yield what a new record says of its own answer and of the one that it goes on from."""
        data = held.event.data
        calls = data.tools or data.tool_calls
        if data.generation_id in self.found.new or calls or data.finish_reason == "abort":
            yield from derive_from_answer(data, leaving_interrupts=leaving_interrupts)
            yield from self.by_reread(held)

    def by_reread(self, held: Held) -> Iterator[DerivedSignal]:
        """Yield what a turn says of the one that it goes on from."""
        found, data = self.found, held.event.data
        if data.generation_id not in found.keys:
            return
        session = found.session(data.generation_id)
        turn = session[data.generation_id]
        parent = session.get(turn.parent or "")
        if parent is None or turn.link not in GOES_ON:
            return
        if answered_between(turn, parent, data.last_answer):
            return
        name = parent.generation_id
        if sum(one.parent == name for one in session.values()) <= MOST_FOLLOWING:
            yield from derive_from_next(
                data, name, _tools(found, data, name), self._written(data, name)
            )

    def _written(self, data: Generation, parent_id: str) -> Callable[[str], WrittenBefore | None]:
        """Return what was written into each call of an answer and before it; read where it is asked."""

        @cache
        def read() -> tuple[Mapping[str, str], WrittenBefore]:
            turns = self.found.session(data.generation_id)
            calls = calls_written(self.tx, self.policy, turns, self.new, parent_id)
            return calls.own, WrittenBefore("", calls.earlier, calls.answers)

        def written(call_id: str) -> WrittenBefore | None:
            own, before = read()
            return before._replace(arguments=own[call_id]) if call_id in own else None

        return written


def results_told(
    tx: Transaction, policy: str, generation: Generation
) -> dict[str, ErrorClass | None]:
    """Return what the results in a request were found to be, by `call_key`, of calls that are known."""
    rows = tx.execute(
        "SELECT f.feedback_id, f.payload FROM turns t JOIN feedback f ON f.policy = t.policy"
        " AND f.generation_id = t.parent AND f.origin = t.generation_id"
        " WHERE t.policy = ? AND t.tenant = ? AND t.session_id = ? AND t.generation_id = ?"
        " AND f.kind = 'tool_result'",
        (policy, *session_of(generation), generation.generation_id),
    )
    found = dict[str, ErrorClass | None]()
    for name, payload in rows.fetchall():
        signal = _FEEDBACK(payload).signal
        assert isinstance(signal, ToolResult)
        found[name.split(":")[2]] = signal.error_class
    return found


def _tools(found: LinkedTurns, data: Generation, parent_id: str) -> Mapping[str, str]:
    """Return the calls of the answer before, and the tool of each."""
    calls = found.calls.get(data.tenant, {})
    return {
        name: made.name
        for name, each in calls.items()
        for made in each
        if made.generation_id == parent_id
    }

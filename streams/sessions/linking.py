"""Linking: a poll's new turns find their parents, and earlier ones a parent that came late.

Gateways keep nothing of a session, so it is put together here, from what the records say. `find` reads,
and writes nothing but that turns of long ago are forgotten; `write` writes what was found.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..events.generation import Generation
from ..state.transaction import Transaction
from . import turns_table
from .bases import Base, find_bases
from .contents import Held, load_contents
from .history import history_tag, wrote
from .link import NAMED, SUBAGENT, TOKENS, Link
from .parents import CalledBy, find_parent
from .summaries import find_summaries
from .turn import TokenBytes, Turn, is_turn, token_bytes, turn_of
from .turns_table import SessionKey, session_of


class LinkedTurn(NamedTuple):
    """Where one turn leads."""

    link: Link | None
    """From which it goes on; None where nothing is known."""
    history: str
    """Tag of who wrote what stands before it."""
    base: Base | None
    """Whose tokens need not be kept again."""

    @property
    def columns(self) -> tuple[str | None, str, str]:
        """Parent, rule and history, as the row of the episode has them."""
        parent, rule = self.link or (None, "")
        return parent, rule, self.history


UNLINKED = LinkedTurn(None, "", None)


@dataclass(slots=True, kw_only=True)
class LinkedTurns:
    """What a poll's turns are linked to."""

    turns: dict[SessionKey, dict[str, Turn]]
    """All turns of their sessions, as they are now."""
    calls: dict[str, dict[str, list[CalledBy]]]
    """By tenant and call id, the calls that are named."""
    new: dict[str, LinkedTurn] = field(default_factory=dict)
    """The new ones."""
    changed: dict[str, tuple[SessionKey, str | None]] = field(default_factory=dict)
    """Earlier ones whose parent came late, or whose history changed by that: session and old parent."""
    reread: dict[str, Held] = field(default_factory=dict)
    """The records of those that have another parent now."""

    def turn(self, generation: Generation) -> Turn | None:
        """Return a generation's turn."""
        return self.turns.get(session_of(generation), {}).get(generation.generation_id)


def find(tx: Transaction, policy: str, new: Mapping[str, Held]) -> LinkedTurns:
    """Return where a poll's new generations lead; those that are no turns are left out."""
    new = {name: held for name, held in new.items() if is_turn(held.event.data)}
    came = defaultdict[SessionKey, list[str]](list)
    for name, held in new.items():
        came[session_of(held.event.data)].append(name)
    turns = turns_table.load_turns(tx, policy, came)
    turns_table.keep_last(tx, policy, turns)
    tokens = dict[str, TokenBytes]()
    for key, names in came.items():
        known = turns.setdefault(key, {})
        # What is known already came again, under whatever name of its record.
        names[:] = [name for name in names if name not in known]
        for name in names:
            data = new[name].event.data
            tokens[name] = token_bytes(data)
            known[name] = turn_of(data, new[name].received, tokens[name])
    new = {name: held for name, held in new.items() if name in came[session_of(held.event.data)]}
    late = _reconsidered(turns, came)
    reread = load_contents(tx, policy, sorted(late)) if late else {}
    looked_at = {**new, **reread}
    found = LinkedTurns(turns=turns, calls=_calls(tx, policy, looked_at.values(), new.values()))
    links = {
        name: find_parent(
            held.event.data,
            held.received,
            tokens.get(name) or token_bytes(held.event.data),
            turns[session_of(held.event.data)],
            found.calls.get(held.event.data.tenant, {}),
        )
        for name, held in looked_at.items()
    }
    links |= find_summaries(tx, policy, new, links, turns)
    for name, held in reread.items():
        before, link = turns[session_of(held.event.data)][name], links[name]
        if (link is not None and link.parent != before.parent) or before.parent in new:
            found.changed[name] = (session_of(held.event.data), before.parent)
            found.reread[name] = held
    _set_links(found, {**new, **found.reread}, links)
    bases = find_bases(tx, policy, new, links, turns)
    for name, held in new.items():
        turn = turns[session_of(held.event.data)][name]
        found.new[name] = LinkedTurn(links[name], history_tag(turn), bases.get(name))
    return found


def _reconsidered(
    turns: Mapping[SessionKey, Mapping[str, Turn]], came: Mapping[SessionKey, Sequence[str]]
) -> set[str]:
    """Return the earlier turns that may go on from one of those that came now."""
    found = set[str]()
    for key, names in came.items():
        session = turns[key]
        for turn in session.values():
            if turn.generation_id in names or turn.earlier_answers == 0:
                continue
            before = session.get(turn.parent or "")
            for new in map(session.__getitem__, names):
                longer = turn.link != TOKENS or before is None or new.length > before.length
                early = new.received <= turn.received or 0 < new.length <= turn.prompt
                if turn.link == NAMED:
                    early = longer = turn.parent == new.generation_id
                if early and longer:
                    found.add(turn.generation_id)
    return found


def _calls(
    tx: Transaction, policy: str, looked_at: Iterable[Held], new: Iterable[Held]
) -> dict[str, dict[str, list[CalledBy]]]:
    """Return who made the calls that these records speak of; the poll's own calls are in no table yet."""
    wanted = defaultdict[str, list[str]](list)
    for held in looked_at:
        data = held.event.data
        wanted[data.tenant] += [one.tool_call_id for one in data.input if one.tool_call_id]
        # A session may be called after the call that started it; most are not.
        if data.call_id or (data.session_found in ("named", "cache_key", "") and data.input):
            wanted[data.tenant] += [data.call_id or data.session_id]
    found = turns_table.load_calls(tx, policy, wanted)
    for held in new:
        data = held.event.data
        for call in data.tool_calls:
            made = CalledBy(data.generation_id, data.session_id, call.name)
            if call.id and made not in (known := found[data.tenant].setdefault(call.id, [])):
                known.append(made)
    return found


def _set_links(
    found: LinkedTurns, linked: Mapping[str, Held], links: Mapping[str, Link | None]
) -> None:
    """Write links and histories into the turns; where an earlier one moved, all after it may change."""
    answers = {name: held.event.data.last_answer for name, held in linked.items()}
    for name, held in linked.items():
        session, link = found.turns[session_of(held.event.data)], links[name]
        session[name] = session[name]._replace(
            parent=None if link is None else link.parent, link="" if link is None else link.rule
        )
    moved = {key for key, _ in found.changed.values()}
    for key in {session_of(held.event.data) for held in linked.values()}:
        session = found.turns[key]
        for name in _parents_first(session):
            turn = session[name]
            if name not in linked and key not in moved:
                continue
            parent = None if turn.link == SUBAGENT else session.get(turn.parent or "")
            if name not in linked and parent is None:
                continue
            said = answers.get(name, parent.said if parent else "")
            session[name] = turn._replace(wrote=wrote(turn, parent, last_answer=said))
            if name not in linked and session[name] != turn:
                found.changed.setdefault(name, (key, turn.parent))


def _parents_first(session: Mapping[str, Turn]) -> list[str]:
    """Return the turns, none before its parent; a circle that a product named is cut somewhere."""
    done = dict[str, None]()
    for name in session:
        way = [name]
        while (parent := session[way[-1]].parent or "") in session and parent not in done:
            if parent in way:
                break
            way.append(parent)
        done |= dict.fromkeys(reversed(way))
    return list(done)


def write(tx: Transaction, policy: str, found: LinkedTurns, new: Mapping[str, Generation]) -> None:
    """Write the turns of generations that were new, and the changes of earlier ones."""
    rows = [
        (session_of(data), turn) for data in new.values() if (turn := found.turn(data)) is not None
    ]
    changed = [(key, found.turns[key][name]) for name, (key, _) in found.changed.items()]
    turns_table.put_turns(tx, policy, [*rows, *changed])
    turns_table.put_calls(tx, policy, [one for name, one in new.items() if name in found.new])
    tx.executemany(
        "UPDATE episodes SET parent_id = ?, link = ?, history = ?"
        " WHERE policy = ? AND generation_id = ?",
        [
            (turn.parent, turn.link, history_tag(turn), policy, turn.generation_id)
            for _, turn in changed
        ],
    )

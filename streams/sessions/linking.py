"""Linking: a poll's new turns find their parents, and earlier ones a parent that came late.

Gateways keep nothing of a session, so it is put together here, from what the records say. `find` reads,
and writes nothing but that turns of long ago are forgotten; `write` writes what was found.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..events.generation import Generation
from ..state.transaction import Transaction
from . import turns_table
from .bases import Base, find_bases
from .contents import Held, load_contents
from .history import answered_between, history_tag, parents_first, wrote
from .late_beginnings import ALL_MET, Unmet, begun_late, unmet
from .link import SUBAGENT, Link
from .parents import CalledBy, find_parent, reconsidered
from .retold import put_retold
from .spelled import mark_spelled
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
    keys: dict[str, SessionKey]
    """The session of each turn that was looked at."""
    calls: dict[str, dict[str, list[CalledBy]]]
    """By tenant and call id, the calls that are named."""
    new: dict[str, LinkedTurn] = field(default_factory=dict)
    """The new ones of which something is known."""
    changed: dict[str, tuple[SessionKey, str | None]] = field(default_factory=dict)
    """Earlier ones whose parent came late, or whose history changed by that: session and old parent."""
    reread: dict[str, Held] = field(default_factory=dict)
    """The records of those that have another parent now."""
    spelled: set[str] = field(default_factory=set)
    """Turns, new ones and earlier ones, whose tokens spell what was redacted before them."""

    def session(self, name: str) -> dict[str, Turn]:
        """Return the turns of the session that a turn is in."""
        return self.turns[self.keys[name]]


def find(
    tx: Transaction, policy: str, new: Mapping[str, Held], missed: Unmet = ALL_MET
) -> LinkedTurns:
    """Return where a poll's new generations lead; those that are no turns are left out.

    `missed` is what `write` returned of the poll before.
    """
    keys, came = dict[str, SessionKey](), defaultdict[SessionKey, list[str]](list)
    for name, held in new.items():
        if is_turn(held.event.data):
            keys[name] = session_of(held.event.data)
            came[keys[name]].append(name)
    turns = turns_table.load_turns(tx, policy, came)
    turns_table.keep_last(tx, policy, turns)
    tokens = _put_in(turns, came, new)
    new = {name: new[name] for name in tokens}
    calls = _calls(tx, policy, new.values(), new.values())
    late = reconsidered(turns, came) | begun_late(tx, policy, new, turns, calls, missed)
    reread = load_contents(tx, policy, sorted(late)) if late else {}
    keys |= {name: session_of(held.event.data) for name, held in reread.items()}
    looked_at = {**new, **reread}
    calls = _calls(tx, policy, looked_at.values(), new.values()) if reread else calls
    found = LinkedTurns(turns=turns, keys=keys, calls=calls)
    links = dict[str, Link]()
    for name, held in looked_at.items():
        data = held.event.data
        raw = tokens.get(name) or token_bytes(data)
        link = find_parent(data, held.received, raw, turns[keys[name]], calls.get(data.tenant, {}))
        if link is not None:
            links[name] = link
    links |= find_summaries(tx, policy, new, links, found, reread)
    for name, held in reread.items():
        before, moved = turns[keys[name]][name], links.get(name)
        if (moved is not None and moved.parent != before.parent) or before.parent in new:
            found.changed[name] = (keys[name], before.parent)
            found.reread[name] = held
    _set_links(tx, policy, found, {**new, **found.reread}, links)
    found.spelled = mark_spelled([turns[key] for key in came])
    with_tokens = {name: held for name, held in new.items() if name not in found.spelled}
    bases = find_bases(tx, policy, with_tokens, links, found)
    for name in new:
        turn = turns[keys[name]][name]
        if name in links or turn.wrote:
            found.new[name] = LinkedTurn(links.get(name), history_tag(turn), bases.get(name))
    return found


def _put_in(
    turns: dict[SessionKey, dict[str, Turn]],
    came: Mapping[SessionKey, list[str]],
    new: Mapping[str, Held],
) -> dict[str, TokenBytes]:
    """Put what came into its sessions; return the tokens of what was not known, and leave that alone in `came`."""
    tokens = dict[str, TokenBytes]()
    for key, names in came.items():
        known = turns.setdefault(key, {})
        # What is known already came again, under whatever name of its record.
        names[:] = [name for name in names if name not in known]
        for name in names:
            data = new[name].event.data
            tokens[name] = token_bytes(data)
            received, unread = new[name].received, new[name].unread
            known[name] = turn_of(data, received, tokens[name], unread=unread)
    return tokens


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
    tx: Transaction,
    policy: str,
    found: LinkedTurns,
    linked: Mapping[str, Held],
    links: Mapping[str, Link],
) -> None:
    """Write links and histories into the turns; where an earlier one moved, all after it may change."""
    moved = {key for key, _ in found.changed.values()}
    touched = set(moved)
    for name in linked:
        session, link = found.session(name), links.get(name)
        if link is not None:
            session[name] = session[name]._replace(parent=link.parent, link=link.rule)
        if link is not None or session[name].earlier_answers > 0:
            touched.add(found.keys[name])
    apart = {name for key in moved for name in _apart(found.turns[key])} - linked.keys()
    told = {**linked, **load_contents(tx, policy, sorted(apart))} if apart else linked
    for key in touched:
        _set_histories(found, key, linked, told, moved=key in moved)


def _apart(session: Mapping[str, Turn]) -> Iterator[str]:
    """Yield the turns whose counts say that somebody may have answered between their parent and them."""
    for name, turn in session.items():
        parent = session.get(turn.parent or "")
        if parent is not None and answered_between(turn, parent, ""):
            yield name


def _set_histories(
    found: LinkedTurns,
    key: SessionKey,
    linked: Mapping[str, Held],
    told: Mapping[str, Held],
    *,
    moved: bool,
) -> None:
    session = found.turns[key]
    for name in parents_first(session):
        turn = session[name]
        parent = None if turn.link == SUBAGENT else session.get(turn.parent or "")
        if name in told:
            said = told[name].event.data.last_answer
        elif moved and parent is not None:
            # Nobody answered between: the last answer that it was told is its parent's.
            said = parent.said
        else:
            continue
        session[name] = turn._replace(wrote=wrote(turn, parent, last_answer=said))
        if name not in linked and session[name] != turn:
            found.changed.setdefault(name, (key, turn.parent))


def write(tx: Transaction, policy: str, found: LinkedTurns, new: Mapping[str, Generation]) -> Unmet:
    """Write the turns of generations that were new, and the changes of earlier ones.

    Returns what the next poll is to look for once more.
    """
    turns = [name for name in new if name in found.keys and name in found.session(name)]
    changed = [(key, found.turns[key][name]) for name, (key, _) in found.changed.items()]
    rows = [(found.keys[name], found.session(name)[name]) for name in turns]
    late = [
        (key, session[name])
        for key, session in found.turns.items()
        for name in found.spelled & session.keys()
        if name not in new and name not in found.changed
    ]
    turns_table.put_turns(tx, policy, [*rows, *changed, *late])
    turns_table.put_calls(tx, policy, [new[name] for name in turns])
    alone = [new[name] for name in turns if not found.session(name)[name].link]
    turns_table.put_awaited(tx, policy, alone)
    retold = put_retold(
        tx,
        policy,
        {name: new[name] for name in turns},
        {name: found.session(name)[name] for name in turns},
    )
    tx.executemany(
        "UPDATE episodes SET parent_id = ?, link = ?, history = ?"
        " WHERE policy = ? AND generation_id = ?",
        [
            (turn.parent, turn.link, history_tag(turn), policy, turn.generation_id)
            for _, turn in changed
        ],
    )
    return unmet(tx, [new[name] for name in turns], alone, retold)

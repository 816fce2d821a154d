"""Chain answers: the answers of a session or a reference, with those of the subagents that they started.

What a poll brings is not in the tables yet, so it is looked at beside them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..sessions.contents import Held
from ..sessions.link import SUBAGENT, SUMMARY
from ..sessions.linking import LinkedTurns
from ..sessions.turn import Turn
from ..sessions.turns_table import SessionKey, load_turns
from ..state.bulk import by_ids
from ..state.transaction import Transaction
from .chain import ChainAnswer, ChainKey
from .referenced import load_referenced, references_of

DEEPEST = 8
"""Most subagents of subagents, and most restarts from a summary, that a chain goes through."""
MOST_STARTED = 1024
"""Most answers of subagents in one chain."""


class Started(NamedTuple):
    """An answer that began another session: a subagent's, or one that goes on from a summary."""

    generation_id: str
    """Its first answer."""
    parent: str
    """The answer that it was begun by."""
    link: str
    """`subagent` or `summary`."""
    session: SessionKey
    """The session that it is in."""


class ChainReader:
    """Reads chains in one transaction, beside what its poll brings."""

    def __init__(
        self, tx: Transaction, policy: str, new: Mapping[str, Held], found: LinkedTurns
    ) -> None:
        self.tx, self.policy, self.new, self.found = tx, policy, new, found
        self._turns = dict[SessionKey, Mapping[str, Turn]]()

    def answers(self, chain: ChainKey) -> list[ChainAnswer]:
        """Return the answers of a chain, each once; a subagent's through what started it."""
        if chain.key:
            own = load_referenced(self.tx, self.policy, chain)
        else:
            own = self._of_session(SessionKey(chain.tenant, chain.value))
        through = self._of_subagents(chain.tenant, own)
        people = self.people(chain.tenant, [*own, *through])
        return [
            ChainAnswer(name, at, *people[name])
            for name, at in own.items()
            if name not in through and name in people
        ] + [
            ChainAnswer(name, at, *people[name], by)
            for name, (at, by) in through.items()
            if name in people
        ]

    def held(self, ids: Sequence[str]) -> set[str]:
        """Return which of these answers' records are held."""
        found = set[str]()
        for marks, chunk in by_ids(ids):
            rows = self.tx.execute(
                "SELECT generation_id FROM episodes WHERE policy = ? AND content IS NOT NULL"
                f" AND generation_id IN ({marks})",
                (self.policy, *chunk),
            )
            found.update(name for (name,) in rows.fetchall())
        return found

    def chains_of(self, name: str) -> Iterator[ChainKey]:
        """Yield the chains that a generation of this poll, or a turn that it moved, is in.

        Those of the answers that started its session are among them, and those of sessions that went on
        from a summary after it.
        """
        yield from self._direct(name)
        key = self.session_of(name)
        if key is None or name not in self.turns(key):
            return
        newest = max(self.turns(key).values(), key=lambda turn: turn.received)
        ids = list(self.turns(key)) if newest.generation_id != name else []
        at = root_of(self.turns(key), name)
        for _ in range(DEEPEST):
            root = self.turns(key).get(at)
            if root is None or root.link != SUBAGENT or root.parent is None:
                break
            yield from self._direct(root.parent)
            above = self.session_of(root.parent)
            if above is None:
                break
            key = above
            # What went on from a summary of the session that it works for is about it too.
            ids += self.turns(key)
            at = root_of(self.turns(key), root.parent)
        yield from self._restarted(ids)

    def turns(self, key: SessionKey) -> Mapping[str, Turn]:
        """Return the turns of a session, as they are with this poll."""
        if key in self.found.turns:
            return self.found.turns[key]
        if key not in self._turns:
            self._turns[key] = load_turns(self.tx, self.policy, [key]).get(key, {})
        return self._turns[key]

    def _direct(self, name: str) -> Iterator[ChainKey]:
        session = self.session_of(name)
        if session is not None:
            yield ChainKey(session.tenant, "", session.session_id)
        if name in self.new:
            data = self.new[name].event.data
            for key, value in data.references.items():
                yield ChainKey(data.tenant, key, value)
        else:
            yield from references_of(self.tx, self.policy, [name]).get(name, ())

    def _restarted(self, ids: Sequence[str]) -> Iterator[ChainKey]:
        """Yield the sessions that went on from a summary among these answers, and those after them."""
        for _ in range(DEEPEST):
            sessions = {one.session for one in self._started(ids, SUMMARY)}
            ids = []
            for key in sorted(sessions):
                yield ChainKey(key.tenant, "", key.session_id)
                ids += self.turns(key)
            if not ids:
                return

    def session_of(self, name: str) -> SessionKey | None:
        """Return the session that an answer is in; None where it is in none, or not known."""
        if name in self.found.keys:
            return self.found.keys[name]
        row = self.tx.execute(
            "SELECT COALESCE(tenant, ''), session_id FROM episodes"
            " WHERE policy = ? AND generation_id = ? AND session_id IS NOT NULL",
            (self.policy, name),
        ).fetchone()
        return None if row is None else SessionKey(*row)

    def _of_session(self, key: SessionKey) -> dict[str, float]:
        """Return the answers of a session, and those before the summary that it went on from."""
        own = {name: turn.received for name, turn in self.turns(key).items()}
        ahead, seen = [key], {key}
        for _ in range(DEEPEST):
            if not ahead:
                break
            key = ahead.pop()
            for turn in self.turns(key).values():
                if turn.link != SUMMARY or turn.parent is None or turn.parent in self.turns(key):
                    continue
                before = self.session_of(turn.parent)
                if before is None or before.tenant != key.tenant or before in seen:
                    continue
                ahead.append(before)
                seen.add(before)
                earlier = self.turns(before)
                until = earlier[turn.parent].received if turn.parent in earlier else 0.0
                own |= {n: one.received for n, one in earlier.items() if one.received <= until}
        return own

    def _of_subagents(self, tenant: str, own: Mapping[str, float]) -> dict[str, tuple[float, str]]:
        """Return the answers that these started, and what they started: when, and by which of these."""
        found = dict[str, tuple[float, str]]()
        ahead = dict(zip(own, own, strict=True))
        for _ in range(DEEPEST):
            begun = dict[str, str]()
            for one in self._started(list(ahead), SUBAGENT):
                if one.session.tenant != tenant:
                    continue
                turns = self.turns(one.session)
                for turn in turns.values():
                    name = turn.generation_id
                    top = ahead[one.parent]
                    fresh = name not in found and name != top
                    if fresh and root_of(turns, name, until=one.generation_id) == one.generation_id:
                        begun[name] = top
                        found[name] = (turn.received, top)
            if not begun or len(found) >= MOST_STARTED:
                break
            ahead = begun
        return found

    def started(self, ids: Sequence[str]) -> list[Started]:
        """Return what these answers began in other sessions, in one order."""
        wanted, found = set(ids), set[Started]()
        for marks, chunk in by_ids(ids):
            rows = self.tx.execute(
                "SELECT generation_id, parent_id, link, COALESCE(tenant, ''), session_id FROM episodes"
                " WHERE policy = ? AND link IN ('subagent', 'summary')"
                f" AND parent_id IN ({marks}) AND session_id IS NOT NULL",
                (self.policy, *chunk),
            )
            found |= {
                Started(name, parent, how, SessionKey(tenant, session))
                for name, parent, how, tenant, session in rows.fetchall()
                if name not in self.found.keys
            }
        for name, key in self.found.keys.items():
            turn = self.found.turns[key].get(name)
            if turn is not None and turn.parent in wanted and turn.link in (SUBAGENT, SUMMARY):
                found.add(Started(name, turn.parent or "", turn.link, key))
        return sorted(one for one in found if one.parent not in self.turns(one.session))

    def _started(self, ids: Sequence[str], link: str) -> list[Started]:
        return [one for one in self.started(ids) if one.link == link]

    def people(self, tenant: str, ids: Sequence[str]) -> dict[str, tuple[str, bool]]:
        """Return to whom these answers of a tenant were given, and whether the product named them."""
        found = dict[str, tuple[str, bool]]()
        for marks, chunk in by_ids([name for name in ids if name not in self.new]):
            rows = self.tx.execute(
                "SELECT generation_id, COALESCE(user_hash, ''), user_named FROM episodes"
                f" WHERE policy = ? AND COALESCE(tenant, ?) = ? AND generation_id IN ({marks})",
                (self.policy, tenant, tenant, *chunk),
            )
            found.update((name, (user, bool(named))) for name, user, named in rows.fetchall())
        for name in ids:
            if name in self.new and (data := self.new[name].event.data).tenant == tenant:
                found[name] = (data.user_hash, data.user_named)
        return found


def root_of(turns: Mapping[str, Turn], name: str, *, until: str = "") -> str:
    """Return the turn of its session that a turn goes back to, or `until` where that is on the way.

    A turn that a product named as its own parent in the end is where the circle was entered.
    """
    at, seen = name, set[str]()
    while at != until and at not in seen:
        seen.add(at)
        turn = turns.get(at)
        if turn is None or turn.parent is None or turn.parent not in turns:
            break
        at = turn.parent
    return at

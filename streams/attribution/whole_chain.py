"""Whole chain: all answers of one piece of work, however many sessions and subagents it went through.

What feedback on a session reaches is what came before it; what a piece of work took is all of it. So a
chain here is a tree: a session's answers, those of the subagents that they started, those of the
sessions that went on from their summaries, and so on. Each answer is in one chain, and once.
"""

from collections.abc import Iterable, Mapping, Sequence

from ..sessions.link import SUBAGENT, SUMMARY
from ..sessions.turns_table import SessionKey
from .chain import ChainAnswer
from .chain_answers import DEEPEST, MOST_STARTED, ChainReader, root_of

BEGINS = frozenset((SUBAGENT, SUMMARY))
"""Links by which one session's conversation begins in another one."""


class WholeChain:
    """One chain, to one person."""

    def __init__(self, answers: Sequence[ChainAnswer]) -> None:
        self.ids = tuple(one.generation_id for one in answers)
        """Its answers, the earliest first."""
        own = [one.generation_id for one in answers if not one.through]
        place = {name: len(own) - 1 - at for at, name in enumerate(own)}
        self.steps = {one.generation_id: place[one.through or one.generation_id] for one in answers}
        """By answer how many there are between it and the last; a subagent's stands where the one does
        that started it."""


class WholeChains:
    """Finds whole chains, each looked up once, as the reader's transaction has them."""

    def __init__(self, reader: ChainReader) -> None:
        self.reader = reader
        self._members = dict[SessionKey, dict[str, ChainAnswer]]()
        self._chains = dict[tuple[SessionKey, str], WholeChain]()

    def around(self, names: Iterable[str]) -> set[str]:
        """Return the answers, to whomever, whose chain one of these is in; those of no session in none."""
        found = set[str]()
        for name in names:
            if name not in found and (key := self._top(name)) is not None:
                members = self._around(key)
                found.update(members if name in members else ())
        return found

    def of(self, name: str) -> WholeChain | None:
        """Return the chain of an answer, to the person that it was given to; None without a session.

        Many people may be under one session's name: each one's answers are a chain. A subagent's are
        of the person whose answer started it, whether the product named that person again or not;
        one that it gave to somebody else is a chain of its own.
        """
        key = self._top(name)
        around = self._around(key) if key is not None else {}
        mine = around.get(name)
        if key is None or mine is None:
            return None
        person = around[mine.through or name].user_hash
        if mine.through and mine.user_named and mine.user_hash != person:
            return WholeChain([mine._replace(through="")])
        if (key, person) not in self._chains:
            self._chains[key, person] = WholeChain(
                [
                    one
                    for one in around.values()
                    if around[one.through or one.generation_id].user_hash == person
                    and (not one.through or not one.user_named or one.user_hash == person)
                ]
            )
        return self._chains[key, person]

    def _around(self, key: SessionKey) -> dict[str, ChainAnswer]:
        if key not in self._members:
            self._members[key] = {one.generation_id: one for one in self._read(key)}
        return self._members[key]

    def _top(self, name: str) -> SessionKey | None:
        """Return the session in which the work began that an answer is part of."""
        key = self.reader.session_of(name)
        for _ in range(DEEPEST):
            if key is None:
                break
            begun = self._begun_by(key, name)
            if begun is None:
                break
            name, key = begun
        return key

    def _begun_by(self, key: SessionKey, name: str) -> tuple[str, SessionKey] | None:
        """Return the answer in another session that this one's conversation began from, and where."""
        turns = self.reader.turns(key)
        root = turns.get(root_of(turns, name))
        if root is None or root.link not in BEGINS or root.parent is None or root.parent in turns:
            return None
        above = self.reader.session_of(root.parent)
        if (
            above is None
            or above.tenant != key.tenant
            or root.parent not in self.reader.turns(above)
        ):
            return None
        return root.parent, above

    def _read(self, key: SessionKey) -> list[ChainAnswer]:
        """Return the answers of the chains that began in a session, the earliest first."""
        turns = self.reader.turns(key)
        own = [name for name in turns if self._begun_by(key, name) is None]
        found = {name: (turns[name].received, "") for name in own}
        ahead = {name: "" for name in own}
        for _ in range(DEEPEST):
            ahead = self._next(key.tenant, ahead, found)
            if not ahead or len(found) >= len(own) + MOST_STARTED:
                break
        people = self.reader.people(key.tenant, list(found))
        answers = [
            ChainAnswer(name, at, *people[name], through)
            for name, (at, through) in found.items()
            if name in people
        ]
        known = {one.generation_id for one in answers}
        return sorted(
            (one for one in answers if not one.through or one.through in known),
            key=lambda one: (one.received, one.generation_id),
        )

    def _next(
        self, tenant: str, ahead: Mapping[str, str], found: dict[str, tuple[float, str]]
    ) -> dict[str, str]:
        """Add what these answers began in other sessions; return that, by through which answer."""
        begun = dict[str, str]()
        for one in self.reader.started(list(ahead)):
            if one.session.tenant != tenant:
                continue
            through = ahead[one.parent]
            if one.link == SUBAGENT:
                through = through or one.parent
            turns = self.reader.turns(one.session)
            for name, turn in turns.items():
                if name in found or root_of(turns, name) != one.generation_id:
                    continue
                found[name] = (turn.received, through)
                begun[name] = through
        return begun

"""Summaries: a conversation that begins anew from a text that the model wrote before (compaction)."""

from collections.abc import Mapping

from ..state.transaction import Transaction
from .contents import Held, load_texts
from .link import SUMMARY, Link
from .retold import (
    Retold,
    answer_of,
    beginning_of,
    load_retold,
    may_be_retold,
    may_retell,
    may_tell,
    person_of,
)
from .turn import Sessions, Turn

LOOKED_AT = 8
"""Answers of the session that may be the summary: the last ones before."""
FEWEST = 40
"""Characters of a text that nobody repeats by chance."""


def find_summaries(
    tx: Transaction,
    policy: str,
    new: Mapping[str, Held],
    links: Mapping[str, Link],
    sessions: Sessions,
    reread: Mapping[str, Held],
) -> dict[str, Link]:
    """Return links of turns that go on from no tokens, and whose input holds an earlier answer.

    Of several the same person's is taken, and of those the last one of the session, else the last one to the same named person in
    another session. `reread` are turns from before.
    """
    begun = {
        name: _before(held, sessions.session(name))
        for name, held in new.items()
        if name not in links
        and held.event.data.input
        and len(sessions.session(name)) > 1
        and sum(len(one.text) for one in held.event.data.input) >= FEWEST
    }
    retelling = {
        name: held
        for name, held in {**new, **reread}.items()
        if name not in links and may_retell(held.event.data)
    }
    told = _long_answers(tx, policy, retelling, new)
    for name, held in retelling.items():
        begun[name] = [*begun.get(name, ()), *_elsewhere(held, told)]
    wanted = {one for each in begun.values() for one in each}
    texts = load_texts(tx, policy, sorted(wanted - new.keys())) if wanted else {}
    texts |= {name: new[name].event.data.text for name in wanted & new.keys()}
    found = dict[str, Link]()
    for name, earlier in begun.items():
        held = new[name] if name in new else reread[name]
        said = "\n".join(one.text for one in held.event.data.input)
        for each in earlier:
            text = texts.get(each, "").strip()
            if len(text) >= FEWEST and text in said:
                found[name] = Link(each, SUMMARY)
                break
    return found


def _before(held: Held, session: Mapping[str, Turn]) -> list[str]:
    """Return the last turns that said something before this one, the same person's and the last first."""
    data = held.event.data
    earlier = [
        (turn.user_hash == data.user_hash, turn.received, turn.generation_id)
        for turn in session.values()
        if turn.said and turn.received <= held.received and turn.generation_id != data.generation_id
    ]
    return [name for *_, name in sorted(earlier, reverse=True)[:LOOKED_AT]]


def _long_answers(
    tx: Transaction, policy: str, retelling: Mapping[str, Held], new: Mapping[str, Held]
) -> Retold:
    """Return the last long answers to the people who may be retold one, those of the poll itself too."""
    people = {person_of(held.event.data) for held in retelling.values()}
    if not people:
        return {}
    found = load_retold(tx, policy, people, began=False)
    for held in new.values():
        data = held.event.data
        if person_of(data) in people and may_be_retold(data):
            found.setdefault(person_of(data), []).append(answer_of(data, held.received))
    return found


def _elsewhere(held: Held, told: Retold) -> list[str]:
    """Return the last long answers to the person before this turn in other sessions, the last first."""
    data = held.event.data
    begins = beginning_of(data, held.received)
    found = [
        (answer.received, answer.generation_id)
        for answer in told.get(person_of(data), ())
        if may_tell(begins, answer)
    ]
    return [name for _, name in sorted(found, reverse=True)[:LOOKED_AT]]

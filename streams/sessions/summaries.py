"""Summaries: a conversation that begins anew from a text that the model wrote before (compaction)."""

from collections.abc import Mapping

from ..state.transaction import Transaction
from .contents import Held, load_texts
from .link import SUMMARY, Link
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
) -> dict[str, Link]:
    """Return links of new turns that go on from no tokens, and whose input holds an earlier answer.

    Of several the last one is taken.
    """
    begun = {
        name: _before(held, sessions.session(name))
        for name, held in new.items()
        if name not in links
        and held.event.data.input
        and len(sessions.session(name)) > 1
        and sum(len(one.text) for one in held.event.data.input) >= FEWEST
    }
    wanted = {one for each in begun.values() for one in each}
    texts = load_texts(tx, policy, sorted(wanted - new.keys())) if wanted else {}
    texts |= {name: new[name].event.data.text for name in wanted & new.keys()}
    found = dict[str, Link]()
    for name, earlier in begun.items():
        said = "\n".join(one.text for one in new[name].event.data.input)
        for each in earlier:
            text = texts.get(each, "").strip()
            if len(text) >= FEWEST and text in said:
                found[name] = Link(each, SUMMARY)
                break
    return found


def _before(held: Held, session: Mapping[str, Turn]) -> list[str]:
    """Return the last turns that said something before this one, the last one first."""
    own = held.event.data.generation_id
    earlier = [
        (turn.received, turn.generation_id)
        for turn in session.values()
        if turn.said and turn.received <= held.received and turn.generation_id != own
    ]
    return [name for _, name in sorted(earlier, reverse=True)[:LOOKED_AT]]

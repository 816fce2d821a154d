"""Spelled: turns whose prompt tokens spell what was redacted before them. Pure, but for what forgets them.

An answer with a hit keeps no tokens. The prompts after it begin with it, as ids; a gateway looks at all
that it is sent, and a product that writes its own records shows a turn's own texts alone. Such a turn
loses its tokens where it cannot be told to go on from clean turns only.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ..events.event import GenerationEvent, encode_event
from ..events.stage import EpisodeStage
from ..state.transaction import Transaction
from .contents import load_contents, make_whole
from .link import GOES_ON
from .turn import REDACTED, UNKNOWN, UNREAD, Turn

HISTORY = "history"
"""Kind of a hit that is not in a turn's own texts, but in what stands before them."""


def spelled(session: Mapping[str, Turn]) -> set[str]:
    """Return the turns of a session whose history may hold a hit, and whose writer did not look.

    A turn is clean that begins a conversation, or goes on from a clean turn with nobody's answer in
    between. Where its record does not say so, any hit before it in the session is in its prompt.
    """
    if not any(turn.redacted for turn in session.values()):
        return set()
    unread = [turn for turn in session.values() if turn.redacted == UNREAD]
    hits = {turn.generation_id for turn in session.values() if turn.redacted == REDACTED}
    if not hits or not unread:
        return set()
    found, before = set[str](), -1
    while len(found) > before:
        before = len(found)
        for turn in unread:
            if turn.generation_id not in found and _may_spell(turn, session, hits | found):
                found.add(turn.generation_id)
    return found


def _may_spell(turn: Turn, session: Mapping[str, Turn], hits: set[str]) -> bool:
    if not any(session[name].received <= turn.received for name in hits):
        return False
    if turn.earlier_answers == 0:
        return False
    parent = session.get(turn.parent or "")
    if parent is None or parent.generation_id in hits or turn.link not in GOES_ON:
        return True
    if UNKNOWN in (turn.earlier_answers, parent.earlier_answers):
        return True
    return turn.earlier_answers != parent.earlier_answers + 1


def mark_spelled(sessions: Iterable[dict[str, Turn]]) -> set[str]:
    """Let the turns that are `spelled` in these sessions be known as redacted; return them."""
    found = set[str]()
    for session in sessions:
        for name in spelled(session):
            session[name] = session[name]._replace(redacted=REDACTED, length=0, digest=b"")
            found.add(name)
    return found


def without_tokens(event: GenerationEvent) -> GenerationEvent:
    """Return a record without its tokens, and with why."""
    data = msgspec.structs.replace(
        event.data,
        redacted=(HISTORY,),
        prompt_token_ids=None,
        completion_token_ids=None,
        logprobs=None,
    )
    return msgspec.structs.replace(event, data=data)


def forget_tokens(tx: Transaction, policy: str, ids: Sequence[str], fate: str) -> None:
    """Take the tokens out of records that are held; prompts that begin with them are made whole first.

    What was decided and waits for its batch ends with this fate; what is in one already stays.
    """
    make_whole(tx, policy, ids)
    held = load_contents(tx, policy, ids)
    tx.executemany(
        "UPDATE contents SET payload = ?, base = NULL, shared = 0 WHERE id ="
        " (SELECT content FROM episodes WHERE policy = ? AND generation_id = ?)",
        [(encode_event(without_tokens(one.event)), policy, name) for name, one in held.items()],
    )
    # What went into the answer is worked out again, from the record as it is now.
    tx.executemany(
        "UPDATE episodes SET amounts = NULL WHERE policy = ? AND generation_id = ?",
        [(policy, name) for name in ids],
    )
    tx.executemany(
        f"UPDATE episodes SET stage = '{EpisodeStage.CLOSED}', fate = ? WHERE policy = ?"
        f" AND generation_id = ? AND batch_id IS NULL AND stage IN ('{EpisodeStage.SCORED}',"
        f" '{EpisodeStage.READY}')",
        [(fate, policy, name) for name in ids],
    )

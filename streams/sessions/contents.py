"""Contents: a generation's record, apart from the row that says what became of it.

A row of `episodes` is written again whenever its episode changes; the record, many times as long,
is written once, in the order of arrival, and forgotten by retention. Of its prompt only the tokens are
in it that its base does not have (`prompts.py`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from ..events.event import GenerationEvent
from ..state.bulk import by_ids, insert_rows
from ..state.transaction import Transaction
from .prompts import KeptTokens, whole_prompt

CONTENTS = """
CREATE TABLE contents (
    id BIGSERIAL PRIMARY KEY, policy TEXT NOT NULL, generation_id TEXT NOT NULL,
    payload BLOB NOT NULL);
INSERT INTO contents (policy, generation_id, payload)
    SELECT policy, generation_id, payload FROM episodes WHERE payload IS NOT NULL
    ORDER BY received;
CREATE INDEX contents_moved ON contents (policy, generation_id);
ALTER TABLE episodes ADD COLUMN content INTEGER;
UPDATE episodes SET content = (SELECT c.id FROM contents c
    WHERE c.policy = episodes.policy AND c.generation_id = episodes.generation_id)
    WHERE payload IS NOT NULL;
DROP INDEX contents_moved;
ALTER TABLE episodes DROP COLUMN payload
"""
"""`episodes.content` is the id of its record here, NULL where none is held."""

BASES = """
ALTER TABLE contents ADD COLUMN base TEXT;
ALTER TABLE contents ADD COLUMN shared INTEGER NOT NULL DEFAULT 0;
CREATE INDEX contents_base ON contents (policy, base) WHERE base IS NOT NULL
"""
"""The prompt begins with the first `shared` tokens of `base`'s prompt and answer; NULL: it is whole."""

_EVENT = msgspec.json.Decoder(GenerationEvent)
_ENCODE = msgspec.json.Encoder().encode


class Content(NamedTuple):
    """One generation's record, to be kept."""

    generation_id: str
    """Whose."""
    payload: bytes
    """The record, without the tokens that its base has."""
    base: str | None = None
    """The generation that its prompt begins with; it must be kept, too."""
    shared: int = 0
    """How many of its tokens."""


class Held(NamedTuple):
    """A record that is held."""

    event: GenerationEvent
    """As it came, its prompt whole."""
    received: float
    """When it was received, epoch seconds."""
    history: str = ""
    """Tag of who wrote what stands before it, as in `history.py`."""
    unread: bool = False
    """Whether nobody could look at what the model read before its own texts."""


class _Tokens(msgspec.Struct):
    prompt_token_ids: tuple[int, ...] | None = None
    completion_token_ids: tuple[int, ...] | None = None


class _OfBase(msgspec.Struct):
    """What of a base's record its followers need."""

    data: _Tokens


class _Text(msgspec.Struct):
    text: str = ""


class _OfSpeaker(msgspec.Struct):
    """What a record says."""

    data: _Text


_BASE = msgspec.json.Decoder(_OfBase)
_TEXT = msgspec.json.Decoder(_OfSpeaker)


def without_shared(event: GenerationEvent, shared: int) -> bytes:
    """Return a record without the first so many tokens of its prompt."""
    prompt = event.data.prompt_token_ids or ()
    data = msgspec.structs.replace(event.data, prompt_token_ids=prompt[shared:])
    return _ENCODE(msgspec.structs.replace(event, data=data))


def put_contents(tx: Transaction, policy: str, contents: Iterable[Content]) -> dict[str, int]:
    """Keep the records of these generations; return each one's id here."""
    rows = [(policy, *content) for content in contents]
    return dict(
        insert_rows(
            tx,
            "INSERT INTO contents (policy, generation_id, payload, base, shared) VALUES ",
            rows,
            " RETURNING generation_id, id",
        )
    )


def load_contents(tx: Transaction, policy: str, ids: Sequence[str]) -> dict[str, Held]:
    """Return the records of these generations, of those whose content is held."""
    found, kept = dict[str, Held](), dict[str, KeptTokens]()
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            "SELECT e.generation_id, c.payload, e.received, e.history, c.base, c.shared"
            " FROM episodes e"
            " JOIN contents c ON c.id = e.content"
            f" WHERE e.policy = ? AND e.generation_id IN ({marks})",
            (policy, *chunk),
        )
        for name, payload, received, history, base, shared in rows.fetchall():
            event = _EVENT.decode(payload)
            found[name] = Held(event, received, history)
            if base is not None:
                data = event.data
                kept[name] = KeptTokens(
                    base, shared, data.prompt_token_ids, data.completion_token_ids or ()
                )
    return {**found, **_made_whole(tx, policy, found, kept)} if kept else found


def _made_whole(
    tx: Transaction, policy: str, found: Mapping[str, Held], kept: dict[str, KeptTokens]
) -> dict[str, Held]:
    """Return the records that lack tokens with those of their bases."""
    lacking = list(kept)
    kept |= _load_bases(tx, policy, sorted({one.base for one in kept.values() if one.base}))
    whole = dict[str, Held]()
    for name in lacking:
        event, prompt = found[name].event, whole_prompt(name, kept)
        data = msgspec.structs.replace(event.data, prompt_token_ids=prompt)
        whole[name] = found[name]._replace(event=msgspec.structs.replace(event, data=data))
    return whole


def _load_bases(tx: Transaction, policy: str, ids: Sequence[str]) -> dict[str, KeptTokens]:
    """Return what is kept of these generations' tokens, and of all their bases'."""
    found = dict[str, KeptTokens]()
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            "WITH RECURSIVE chain (generation_id, content) AS ("
            " SELECT generation_id, content FROM episodes"
            f" WHERE policy = ? AND generation_id IN ({marks})"
            " UNION"
            " SELECT e.generation_id, e.content FROM chain"
            " JOIN contents c ON c.id = chain.content"
            " JOIN episodes e ON e.policy = ? AND e.generation_id = c.base)"
            " SELECT chain.generation_id, c.payload, c.base, c.shared FROM chain"
            " JOIN contents c ON c.id = chain.content",
            (policy, *chunk, policy),
        )
        for name, payload, base, shared in rows.fetchall():
            tokens = _BASE.decode(payload).data
            found[name] = KeptTokens(
                base, shared, tokens.prompt_token_ids, tokens.completion_token_ids or ()
            )
    return found


def load_texts(tx: Transaction, policy: str, ids: Sequence[str]) -> dict[str, str]:
    """Return what these generations said, of those whose content is held."""
    return {name: _TEXT.decode(payload).data.text for name, payload in payloads(tx, policy, ids)}


def payloads(tx: Transaction, policy: str, ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the records of these generations as they are kept, of those whose content is held."""
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            "SELECT e.generation_id, c.payload FROM episodes e JOIN contents c ON c.id = e.content"
            f" WHERE e.policy = ? AND e.generation_id IN ({marks})",
            (policy, *chunk),
        )
        yield from rows.fetchall()


def followers(tx: Transaction, policy: str, ids: Sequence[str]) -> list[str]:
    """Return the generations whose records begin with tokens of these."""
    found = list[str]()
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            f"SELECT generation_id FROM contents WHERE policy = ? AND base IN ({marks})",
            (policy, *chunk),
        )
        found += [name for (name,) in rows.fetchall()]
    return found


def forget_contents(tx: Transaction, policy: str, ids: Sequence[str]) -> None:
    """Forget the records of these generations; their rows stay, and so do others' prompts.

    Records that begin with their tokens are made whole first. The caller holds the rows of `ids`.
    """
    make_whole(tx, policy, ids)
    for marks, chunk in by_ids(ids):
        where = f" WHERE policy = ? AND generation_id IN ({marks})"
        tx.execute(
            "DELETE FROM contents WHERE id IN (SELECT content FROM episodes"
            + where
            + " AND content IS NOT NULL)",
            (policy, *chunk),
        )
        tx.execute("UPDATE episodes SET content = NULL" + where, (policy, *chunk))


def make_whole(tx: Transaction, policy: str, ids: Sequence[str]) -> None:
    """Let the records that begin with tokens of these hold them themselves; these are left out."""
    _keep_whole(tx, policy, sorted(set(followers(tx, policy, ids)) - set(ids)))


def _keep_whole(tx: Transaction, policy: str, ids: Sequence[str]) -> None:
    tx.executemany(
        "UPDATE contents SET payload = ?, base = NULL, shared = 0 WHERE id ="
        " (SELECT content FROM episodes WHERE policy = ? AND generation_id = ?)",
        [
            (_ENCODE(held.event), policy, name)
            for name, held in load_contents(tx, policy, ids).items()
        ],
    )

"""Reattribute: after a change of spec, what feedback on chains reaches is worked out anew.

First of all sessions and references that feedback names, then, where either spec spreads feedback that
names an answer, of the answers that are held. Only then is anything scored again, or sealed.
"""

from typing import NamedTuple

import msgspec

from ..answers import own_numbers
from ..attribution.attributing import Attributed, attribute_chain
from ..attribution.chain import ChainKey
from ..attribution.chain_table import LIVE, hold_chains, load_rows
from ..attribution.spent import tables_reader
from ..attribution.spreading import spread, spread_sessions
from ..events.scored import Score
from ..join.conversations import named_by_chain, take_from_answers
from ..join.episodes_table import feedback_of
from ..join.intake import put_attributed
from ..state.transaction import Transaction
from .rescorings_table import DONE, FIRST

AT_ONCE = 50
"""Sessions and references looked at in one transaction."""
ANSWERS_AT_ONCE = 100
"""Answers likewise, each with its session."""


class Reattributed(NamedTuple):
    """What one piece came to."""

    position: str
    """Where the next one begins, as `rescorings.attributed` has it."""
    touched: frozenset[str] = frozenset()
    """Answers that have other feedback now."""
    looked: int = 0
    """Sessions, references or answers that it looked at."""


def reattribute(tx: Transaction, policy: str, score: Score, position: str) -> Reattributed:
    """Work out the next piece; the caller scores what it touched, and asks again until it is done."""
    # No poll may bring an answer of these chains, or feedback on them, meanwhile.
    hold_chains(tx, told=True)
    at = msgspec.json.decode(position) if position else ["", "", ""]
    if isinstance(at, list):
        return _chains(tx, policy, score, ChainKey(*at))
    return _answers(tx, policy, score, at)


def _chains(tx: Transaction, policy: str, score: Score, after: ChainKey) -> Reattributed:
    rows = tx.execute(
        "SELECT DISTINCT tenant, key, value FROM chain_feedback"
        f" WHERE policy = ? AND {LIVE} AND (tenant, key, value) > (?, ?, ?)"
        " ORDER BY tenant, key, value LIMIT ?",
        (policy, *after, AT_ONCE),
    ).fetchall()
    if not rows:
        return Reattributed(msgspec.json.encode(FIRST).decode())
    chains = [ChainKey(*row) for row in rows]
    reader, done = tables_reader(tx, policy), Attributed()
    for chain, told in sorted(load_rows(tx, policy, chains).items()):
        attribute_chain(reader, chain, told, float("-inf"), done, score.attribution)
    take_from_answers(tx, policy, done.lost)
    put_attributed(tx, policy, map(named_by_chain, done.reaching))
    touched = {one.generation_id for one in done.lost}
    touched |= {one.feedback.generation_id for one in done.reaching}
    # Numbers among it are counted with the answer that is the last by now.
    own_numbers.put_later_numbers(tx, policy, feedback_of(tx, policy, sorted(touched)))
    position = msgspec.json.encode(chains[-1]).decode()
    return Reattributed(position, frozenset(touched), len(chains))


def _answers(tx: Transaction, policy: str, score: Score, below: int) -> Reattributed:
    if not score.spreads and not _any_spread(tx, policy):
        return Reattributed(DONE)
    rows = tx.execute(
        "SELECT id, generation_id FROM contents WHERE policy = ? AND id < ?"
        " ORDER BY id DESC LIMIT ?",
        (policy, below, ANSWERS_AT_ONCE),
    ).fetchall()
    if not rows:
        return Reattributed(DONE)
    reader = tables_reader(tx, policy)
    sessions = spread_sessions(reader, sorted(name for _, name in rows))
    found = spread(reader, sessions, score.spread)
    return Reattributed(msgspec.json.encode(rows[-1][0]).decode(), found.changed, len(rows))


def _any_spread(tx: Transaction, policy: str) -> bool:
    row = tx.execute(
        "SELECT 1 FROM feedback WHERE policy = ? AND spread_of IS NOT NULL LIMIT 1", (policy,)
    ).fetchone()
    return row is not None

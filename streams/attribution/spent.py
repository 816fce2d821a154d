"""Spent: what went into each answer, and into the whole chain that it is part of.

Only a spec that takes a cost over chains asks. What went into an answer is worked out once, from its
record, and stays when the record is forgotten: it is counts alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec

from ..events.episode import Episode
from ..events.generation import Generation
from ..events.usage import Amounts, ChainSpent
from ..sessions.contents import load_contents
from ..sessions.linking import LinkedTurns
from ..state.bulk import by_ids
from ..state.transaction import Transaction
from .chain_answers import ChainReader
from .whole_chain import WholeChain, WholeChains

AMOUNTS = "ALTER TABLE episodes ADD COLUMN amounts TEXT"
"""What went into an answer, JSON; `null` where its record does not say, NULL where nobody asked yet."""

AmountsOf = Callable[[Generation], Amounts | None]
"""What the reward spec says went into an answer."""

_AMOUNTS = msgspec.json.Decoder(Amounts | None)
_ENCODE = msgspec.json.Encoder().encode
NOTHING = Amounts(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def tables_reader(tx: Transaction, policy: str) -> ChainReader:
    """Return what reads chains as the tables have them."""
    return ChainReader(tx, policy, {}, LinkedTurns(turns={}, keys={}, calls={}))


def with_chains(
    tx: Transaction,
    policy: str,
    episodes: Sequence[Episode],
    amounts_of: AmountsOf,
    *,
    keep: bool = True,
) -> list[Episode]:
    """Return episodes with what their whole chains took; those of no session as they are.

    With `keep` what was worked out is written down for the next time.
    """
    chains = WholeChains(tables_reader(tx, policy))
    found = {one.id: chain for one in episodes if (chain := chains.of(one.id)) is not None}
    different = {id(chain): chain for chain in found.values()}
    wanted = {name for chain in different.values() for name in chain.ids}
    amounts = _load(tx, policy, sorted(wanted), amounts_of, keep=keep)
    spent = {key: _spent(chain, amounts) for key, chain in different.items()}
    return [
        one
        if (chain := found.get(one.id)) is None
        else msgspec.structs.replace(
            one, chain=spent[id(chain)]._replace(steps=chain.steps[one.id])
        )
        for one in episodes
    ]


def _spent(chain: WholeChain, amounts: Mapping[str, Amounts | None]) -> ChainSpent:
    counted = [one for name in chain.ids if (one := amounts.get(name)) is not None]
    # Added up exactly: a sum must not depend on which answer was received first.
    summed = Amounts(*[math.fsum(each) for each in zip(NOTHING, *counted, strict=True)])
    return ChainSpent(
        amounts=summed._replace(turns=float(len(chain.ids))),
        uncounted=len(chain.ids) - len(counted),
        steps=0,
    )


def _load(
    tx: Transaction, policy: str, ids: Sequence[str], amounts_of: AmountsOf, *, keep: bool
) -> dict[str, Amounts | None]:
    """Return what went into these answers; None where their records do not say, or are forgotten."""
    found, unknown = dict[str, Amounts | None](), list[str]()
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            "SELECT generation_id, amounts FROM episodes"
            f" WHERE policy = ? AND generation_id IN ({marks})",
            (policy, *chunk),
        )
        for name, told in rows.fetchall():
            if told is None:
                unknown.append(name)
            else:
                found[name] = _AMOUNTS.decode(told)
    fresh = {
        name: amounts_of(held.event.data)
        for name, held in load_contents(tx, policy, unknown).items()
    }
    if keep:
        tx.executemany(
            "UPDATE episodes SET amounts = ? WHERE policy = ? AND generation_id = ?",
            [(_ENCODE(fresh[name]).decode(), policy, name) for name in sorted(fresh)],
        )
    return found | fresh

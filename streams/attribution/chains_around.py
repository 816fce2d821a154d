"""Chains around: which answers a poll may change through their chains, and what it changes there.

Only a spec that takes a cost over chains, or spreads what names an answer, asks for it.
"""

from collections.abc import Iterable, Mapping

from ..events.scored import Score
from ..sessions.contents import Held
from ..sessions.linking import LinkedTurns
from ..sessions.turns_table import SessionKey
from ..state.transaction import Transaction
from .chain_answers import ChainReader
from .spreading import Spread, may_spread_to, spread, spread_sessions
from .whole_chain import WholeChains


class ChainsAround:
    """The chains of a poll's turns, and of the answers that it brings feedback on."""

    def __init__(
        self,
        tx: Transaction,
        policy: str,
        new: Mapping[str, Held],
        found: LinkedTurns,
        told: Iterable[str],
        score: Score,
    ) -> None:
        """`found` says where the new turns lead; `told` are the answers with new feedback."""
        self._reader, self._score = ChainReader(tx, policy, new, found), score
        # An answer that moved leaves a chain, too.
        left = [parent for _, parent in found.changed.values() if parent is not None]
        turns = {*found.keys, *found.changed, *left}
        self.costed = frozenset[str]()
        """Answers of whose chains another cost is taken now."""
        self._sessions = set[SessionKey]()
        if score.over_chain:
            self.costed = frozenset(WholeChains(self._reader).around(sorted(turns)))
        if score.spreads:
            self._sessions = spread_sessions(self._reader, sorted(turns.union(told)))
        self.answers = self.costed | may_spread_to(self._reader, sorted(self._sessions))
        """All answers that may be worth something else."""

    def spread_again(self) -> Spread:
        """Write what was said of answers to those before them, once all of it is written there."""
        return spread(self._reader, self._sessions, self._score.spread)

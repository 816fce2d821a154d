"""As ruled: answers as another reward spec attributes feedback on their chains; only read."""

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from ..derived.overruled import without_overruled
from ..events.episode import Attribution, Episode, Timed, join_feedback, order_feedback
from ..events.event import decode_feedback
from ..events.scored import Score
from ..sessions.turns_table import SessionKey
from ..state.transaction import Transaction
from .attributing import reach_of, said_of
from .chain_table import load_rows
from .spent import tables_reader
from .spreading import wanted_copies

_ATTRIBUTION = msgspec.json.Decoder(Attribution)


def as_ruled(
    tx: Transaction, policy: str, episodes: Sequence[Episode], score: Score
) -> list[Episode]:
    """Return answers with the feedback on their chains as this spec attributes it.

    Feedback that names an answer stays with it; of what was forgotten nothing is attributed.
    """
    wanted = {one.id for one in episodes}
    found, reader = defaultdict[str, list[Timed]](list), tables_reader(tx, policy)
    chains = {chain for one in episodes for chain in reader.chains_of(one.id)}
    for chain, rows in load_rows(tx, policy, chains, hold=False).items():
        replaced = {row.replaces for row in rows if row.replaces != row.feedback_id}
        answers = reader.answers(chain)
        for row in rows:
            if row.feedback_id in replaced:
                continue
            said = decode_feedback(row.payload)
            for name, how in reach_of(answers, row, said, score.attribution).items():
                if name in wanted:
                    about = said_of(name, row, said)
                    found[name].append(
                        Timed(
                            feedback=about,
                            acted_at=row.acted,
                            received_at=row.received,
                            attribution=how,
                        )
                    )
    if score.spreads:
        sessions = {SessionKey(one.tenant, one.value) for one in chains if not one.key}
        for key in sorted(sessions):
            for copy, told in wanted_copies(reader, key, score.spread).items():
                if copy.generation_id in wanted:
                    _, acted, received, payload, *_, how, _ = told
                    found[copy.generation_id].append(
                        Timed(
                            feedback=decode_feedback(payload),
                            acted_at=acted,
                            received_at=received,
                            attribution=_ATTRIBUTION.decode(how),
                        )
                    )
    return [_with(one, found.get(one.id, ())) for one in episodes]


def _with(episode: Episode, on_chains: Sequence[Timed]) -> Episode:
    own = [one for one in episode.feedback if one.attribution is None]
    if len(own) == len(episode.feedback) and not on_chains:
        return episode
    said = without_overruled(episode.generation, order_feedback([*own, *on_chains]))
    joined = join_feedback(episode.generation, episode.received_at, said, episode.history)
    return msgspec.structs.replace(joined, chain=episode.chain)

"""Decided: the messages of the product's own log beside people's explicit decisions."""

from ...rewards.satisfaction.labels import DECISIONS, Labelled, label_of
from ...rewards.satisfaction.message import message_of
from ...streams.events.signals import FollowedUp
from ...streams.join.episodes_table import load_episodes
from ...streams.state.store import Store
from .to_read import may_learn_from

AT_ONCE = 500
"""Episodes read in one view: a view of hours would keep the database from forgetting."""


def decided_messages(store: Store, policy: str, limit: int) -> list[Labelled]:
    """Return the newest messages beside decisions, of those that may be learned from."""
    kinds = ", ".join(f"'{kind}'" for kind in DECISIONS)
    with store.reading() as view:
        ids = [
            name
            for name, _ in view.execute(
                "SELECT f.generation_id, MAX(f.received) AS at FROM feedback f"
                " WHERE f.policy = ? AND f.kind = 'followed_up' AND f.dead = 0 AND EXISTS"
                " (SELECT 1 FROM feedback d WHERE d.policy = f.policy"
                "  AND d.generation_id = f.generation_id AND d.dead = 0 AND d.origin = ''"
                f"  AND d.kind IN ({kinds}))"
                " GROUP BY f.generation_id ORDER BY at DESC, f.generation_id LIMIT ?",
                (policy, limit),
            ).fetchall()
        ]
    found: list[Labelled] = []
    for start in range(0, len(ids), AT_ONCE):
        with store.reading() as view:
            episodes = load_episodes(view, policy, ids[start : start + AT_ONCE])
            said = {one.origin for each in episodes for one in each.feedback if one.origin}
            agreed = may_learn_from(view, policy, sorted(said))
        for episode in episodes:
            label, data = label_of(episode), episode.generation
            if label is None or not data.may_train:
                continue
            for one in episode.feedback:
                name = one.origin or one.feedback.feedback_id
                if not isinstance(one.feedback.signal, FollowedUp):
                    continue
                message = message_of(episode, name)
                may = not one.origin or one.origin in agreed
                if may and message is not None and message.text.strip():
                    person = data.user_hash or data.session_id
                    found.append(
                        Labelled(
                            message=message,
                            satisfied=label,
                            person=person,
                            at=episode.received_at,
                        )
                    )
                    break
    return found

"""Decided: the messages of the product's own log beside people's explicit decisions."""

from ...rewards.satisfaction.labels import DECISIONS, Labelled, label_of
from ...rewards.satisfaction.message import message_of
from ...streams.events.signals import FollowedUp
from ...streams.join.episodes_table import load_episodes
from ...streams.state.store import Store
from .to_read import may_learn_from

PERSON_PART, LEAST_PART = 50, 100
"""One person's messages are at most so many-th part of those that are looked at, or the hundred newest
where that is more: who writes without end does not push out everybody else's."""
AT_ONCE = 500
"""Episodes read in one view: a view of hours would keep the database from forgetting."""

_NEWEST = f"""
SELECT name FROM (
    SELECT name, at, ROW_NUMBER() OVER (PARTITION BY person ORDER BY at DESC, name) AS nth FROM (
        SELECT f.generation_id AS name, MAX(f.received) AS at,
            MAX(CASE WHEN e.user_hash <> '' THEN e.user_hash ELSE e.session_id END) AS person
        FROM feedback f JOIN episodes e ON e.policy = f.policy AND e.generation_id = f.generation_id
        WHERE f.policy = ? AND f.kind = 'followed_up' AND f.dead = 0 AND EXISTS (
            SELECT 1 FROM feedback d WHERE d.policy = f.policy AND d.generation_id = f.generation_id
            AND d.dead = 0 AND d.origin = '' AND d.kind IN ({", ".join(f"'{kind}'" for kind in DECISIONS)}))
        GROUP BY f.generation_id) AS told) AS ranked
WHERE nth <= ? ORDER BY at DESC, name LIMIT ?
"""


def decided_messages(store: Store, policy: str, limit: int) -> list[Labelled]:
    """Return the newest messages beside decisions, of those that may be learned from.

    At most `limit`, and of one person a part of it; who is not named is told by the session.
    """
    with store.reading() as view:
        part = max(LEAST_PART, limit // PERSON_PART)
        ids = [name for (name,) in view.execute(_NEWEST, (policy, part, limit)).fetchall()]
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

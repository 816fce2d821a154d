"""JoinedByHand: what the join makes of the events that a gateway sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from ledger_by_hand import FEEDBACK, GENERATIONS, Ledger

from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import Spec
from rlwd.streams.events.event import Event, GenerationEvent, encode_event
from rlwd.streams.join.episodes_table import load_episodes
from rlwd.streams.join.fate import JoinSettings
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.open import open_store

SPEC = Spec(
    name="agent",
    parts={"accepted": 1.0, "tool_ok": 1.0},
    decisive=("accepted", "rejected", "edited", "tool_result"),
)


@dataclass(frozen=True, kw_only=True)
class Joined:
    """One answer, joined."""

    parent: int | None
    """Place of the answer that it goes on from; None for one of which none is known."""
    link: str
    """By which rule that is known."""
    history: str
    """Whether another version or model wrote before it."""
    signals: list[str]
    """What was said of it, as JSON, sorted."""
    reward: float | None
    """What it is worth; None where nobody decided."""
    fate: str
    """How it ended."""


def join(events: Sequence[Event], place: Path) -> list[Joined]:
    """Return each answer of some events, in their order."""
    place.mkdir()
    store = open_store(place / "rlwd.db")
    settings = JoinSettings(leaving_interrupts=True)
    ledger = Ledger(store, Joiner("policy", Scorer(SPEC), SPEC.decision_seconds, settings=settings))
    with store.transaction() as tx:
        ledger.joiner.resume(tx, [GENERATIONS, FEEDBACK])
    answers = list[str]()
    for event in events:
        is_answer = isinstance(event, GenerationEvent)
        if is_answer:
            answers.append(event.data.generation_id)
        ledger.take(encode_event(event), partition=GENERATIONS if is_answer else FEEDBACK)
    with store.reading() as view:
        found = {one.id: one for one in load_episodes(view, "policy", answers)}
        asked = view.execute(
            "SELECT generation_id, parent_id, link, history, reward, fate FROM episodes"
        )
        rows = {name: row for name, *row in asked.fetchall()}
    store.close()
    joined = list[Joined]()
    for name in answers:
        parent, link, history, reward, fate = rows[name]
        said = [msgspec.json.encode(one.feedback.signal).decode() for one in found[name].feedback]
        joined.append(
            Joined(
                parent=None if parent is None else answers.index(parent),
                link=link,
                history=history,
                signals=sorted(said),
                reward=reward,
                fate=fate,
            )
        )
    return joined

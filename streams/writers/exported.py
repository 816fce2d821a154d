"""Exported: the sessions of the state, as writers of traces need them.

Only answers that people agreed to share and whose content is still held; none that nobody was shown, and
none that a harness asked for on its own. Every text that leaves goes through `exported_sessions`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import orjson

from ..answers.answer_rows import LATEST
from ..derived.shown_words import with_shown_words
from ..events.episode import Timed
from ..events.event import FeedbackEvent, GenerationEvent
from ..join.episodes_table import feedback_of
from ..redaction.privacy import PrivacySettings
from ..sessions.contents import load_contents
from ..state.bulk import by_ids
from ..state.transaction import Transaction

SESSIONS_AT_ONCE = 200


class ExportedAnswer(NamedTuple):
    """One answer with what is known of it."""

    event: GenerationEvent
    """Its record."""
    parent: str | None = None
    """The answer that it goes on from, as the join found it."""
    feedback: tuple[FeedbackEvent, ...] = ()
    """What was posted about it."""
    derived: tuple[dict[str, Any], ...] = ()
    """What the join derived about it."""
    reward: dict[str, Any] | None = None
    """`value`, `parts` (name to value) and `spec`; None where it has none."""

    @property
    def id(self) -> str:
        """Generation id."""
        return self.event.data.generation_id


class ExportedSession(NamedTuple):
    """The answers of one session."""

    id: str
    """Its id."""
    answers: tuple[ExportedAnswer, ...]
    """Earliest first."""

    def ways(self) -> list[list[ExportedAnswer]]:
        """Return the ways from a beginning to each end of the conversation, earliest end first.

        Where somebody went back and asked again, ways share their beginning.
        """
        of = {answer.id: answer for answer in self.answers}
        followed = {answer.parent for answer in self.answers}
        found = []
        for end in self.answers:
            if end.id in followed:
                continue
            way, seen = [end], {end.id}
            while (above := of.get(way[-1].parent or "")) is not None and above.id not in seen:
                seen.add(above.id)
                way.append(above)
            found.append(way[::-1])
        # Parents in a circle have no end; each of them is told once all the same.
        told = {answer.id for way in found for answer in way}
        return found + [[answer] for answer in self.answers if answer.id not in told]


def exported_sessions(
    view: Transaction,
    policy: str,
    session: str | None = None,
    privacy: PrivacySettings | None = None,
) -> Iterator[ExportedSession]:
    """Yield the sessions of the state that may leave, or the one that is named, in order of their ids."""
    privacy = privacy or PrivacySettings()
    of: dict[tuple[str, str], list[str]] = {}
    where, more = ("", ()) if session is None else (" AND session_id = ?", (session,))
    rows = view.execute(
        "SELECT tenant, session_id, generation_id FROM episodes WHERE policy = ?"
        f" AND content IS NOT NULL AND received IS NOT NULL{where}"
        " ORDER BY tenant, session_id, received, generation_id",
        (policy, *more),
    ).fetchall()
    for tenant, named, generation_id in rows:
        of.setdefault((tenant or "", named or ""), []).append(generation_id)
    keys = list(of)
    for start in range(0, len(keys), SESSIONS_AT_ONCE):
        some = {key: of[key] for key in keys[start : start + SESSIONS_AT_ONCE]}
        named = [name for ids in some.values() for name in ids]
        answers = _answers(view, policy, named, privacy)
        for ids in some.values():
            yield from _sessions(answers[name] for name in ids if name in answers)


def _sessions(answers: Iterable[ExportedAnswer]) -> Iterator[ExportedSession]:
    """Yield sessions; rows of before sessions were kept in them are told apart by their records."""
    found: dict[str, list[ExportedAnswer]] = {}
    for answer in answers:
        found.setdefault(answer.event.data.session_id, []).append(answer)
    for name, listed in found.items():
        yield ExportedSession(name, tuple(listed))


def _answers(
    view: Transaction, policy: str, ids: Sequence[str], privacy: PrivacySettings
) -> dict[str, ExportedAnswer]:
    held = load_contents(view, policy, ids)
    feedback = feedback_of(view, policy, ids)
    shown = {name for name, one in held.items() if privacy.may_leave(one.event.data)}
    found: dict[str, ExportedAnswer] = {}
    for name, parent, reward, parts, spec, fate in _rows(view, policy, ids):
        if name not in shown:
            continue
        said = with_shown_words(feedback.get(name, ()), shown)
        found[name] = ExportedAnswer(
            event=held[name].event,
            parent=parent,
            feedback=tuple(_event(one) for one in said if _names_it(one)),
            derived=tuple(_derived(one) for one in said if not _names_it(one)),
            reward=_reward(reward, parts, spec, fate),
        )
    return found


def _rows(view: Transaction, policy: str, ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    for marks, chunk in by_ids(ids):
        yield from view.execute(
            f"SELECT generation_id, parent_id, {LATEST}, parts, spec_version, fate FROM episodes"
            f" WHERE policy = ? AND generation_id IN ({marks})",
            (policy, *chunk),
        ).fetchall()


def _event(one: Timed) -> FeedbackEvent:
    said = one.feedback
    return FeedbackEvent(
        id=said.feedback_id,
        source=f"/feedback/{said.tenant or 'default'}",
        specversion="1.0",
        time=datetime.fromtimestamp(one.acted_at, UTC),
        receivedtime=datetime.fromtimestamp(one.received_at, UTC),
        data=said,
    )


def _names_it(one: Timed) -> bool:
    """Return whether somebody posted it about this answer, and not about a whole session."""
    return not one.origin and one.attribution is None


def _derived(one: Timed) -> dict[str, Any]:
    return {
        "signal": msgspec.to_builtins(one.feedback.signal),
        "from": one.origin or one.feedback.feedback_id,
    }


def _reward(
    value: float | None, parts: bytes | None, spec: str | None, fate: str
) -> dict[str, Any] | None:
    if value is None:
        return None
    told: Mapping[str, Any] = orjson.loads(parts) if parts else {}
    known = {name: worth for name, (worth, _) in told.items() if worth is not None}
    return {"value": value, "parts": known, "spec": spec or "", "fate": fate}

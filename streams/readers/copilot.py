"""Copilot telemetry to events: what programmers did with inline suggestions.

Rows pair in the file's order, per person, since the recorders' clocks run backwards in places:

    Shown, Replay, Accepted   -> a generation, accepted, and kept at each horizon measured
    Shown, Rejected           -> a generation, rejected
    Shown, Shown              -> the first is left undecided (it ends as censored:no_decision)
    Rejected with none Shown  -> feedback whose generation never comes, dead-lettered as such

A decision belongs to the latest suggestion shown, even where the editor cut its text meanwhile
(3 of 653 in the study's rows), and ends it: another decision after it has none Shown.
"""

import math
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, TypeGuard

import msgspec

from ..events.event import Event
from ..events.generation import Generation
from ..events.signals import Accepted, Kept, Rejected
from ..events.usage import Usage
from ..traces.recorded import OnError, Recording, hashed, later, rows

HORIZONS = (15, 30, 120, 300, 600)
"""Seconds after the acceptance at which the code in place was compared."""
MEAN_LOGPROB = "mean_logprob"
"""The product's own number of a suggestion: what the model that wrote it gave its tokens, on average."""

Spell = Callable[[str, str], tuple[tuple[int, ...], tuple[int, ...]]]
"""The tokens of what stood before the cursor and of the suggestion, for the model that is to learn."""


class Measurements(msgspec.Struct, frozen=True):
    """What the assistant measured; the rest of it is of no use here."""

    numTokens: float | None = None
    meanLogProb: float | None = None


class TelemetryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row as it was logged."""

    user: str
    time: datetime
    state: Literal["Shown", "Replay", "Browsing", "Accepted", "Rejected"]
    suggestion: str = ""
    prompt: str = ""
    edit_distance_after: (
        Annotated[list[float | None], msgspec.Meta(max_length=len(HORIZONS))] | None
    ) = None
    measurements: Measurements | None = None
    task: str | None = None


def read_copilot(
    path: Path,
    *,
    policy: str = "copilot",
    on_error: OnError | None = None,
    spell: Spell | None = None,
) -> Iterator[Event]:
    """Yield the events of a telemetry file, in the order of receipt.

    No token ids were recorded, and what stood before the cursor is no message of a chat: without
    `spell` no lane learns from these generations (`excluded:no_tokens`). Raises MalformedRow, naming
    file and line, unless `on_error` takes it.
    """
    recording = Recording(source="/replay/copilot")
    shown: dict[str, Generation] = {}
    for name, row in rows(path, TelemetryRow, on_error):
        received = recording.received(row.user, row.time)
        if row.state == "Shown":
            shown[row.user] = _generation(name, row, policy, spell)
            recording.generation(shown[row.user], row.time, received)
        elif row.state in ("Accepted", "Rejected"):
            # Where none was shown, this names a generation that never comes.
            about = shown.pop(row.user, None) or _generation(name, row, policy, spell)
            signal = Accepted() if row.state == "Accepted" else Rejected()
            recording.feedback(name, signal, about, row.time, received)
            for horizon, fraction in kept(row):
                signal_then = Kept(fraction=fraction, horizon_seconds=float(horizon))
                recording.feedback(
                    f"{name}.{horizon}",
                    signal_then,
                    about,
                    later(row.time, horizon),
                    later(received, horizon),
                )
    return recording.in_order()


def kept(row: TelemetryRow) -> list[tuple[int, float]]:
    """Return how much of an accepted suggestion was kept, by horizon, where it was measured.

    1 minus the relative edit distance, clipped to [0, 1]; null and what is below 0 (the recorders
    wrote -1) are not measured. A suggestion that was not accepted has nothing to keep.
    """
    if row.state != "Accepted":
        return []
    return [
        (horizon, min(max(1.0 - distance, 0.0), 1.0))
        for horizon, distance in zip(HORIZONS, row.edit_distance_after or (), strict=False)
        if distance is not None and distance >= 0.0
    ]


def _generation(name: str, row: TelemetryRow, policy: str, spell: Spell | None) -> Generation:
    session = f"copilot-{row.user}"
    measured = row.measurements or Measurements()
    believed = measured.meanLogProb
    prompt, completion = (None, None) if spell is None else spell(row.prompt, row.suggestion)
    return Generation(
        generation_id=f"{session}.{name}",
        session_id=session,
        user_hash=hashed(row.user),
        segment=row.task or "default",
        policy=policy,
        prompt_token_ids=prompt,
        completion_token_ids=completion,
        text=row.suggestion,
        finish_reason="stop",
        usage=Usage(completion_tokens=int(measured.numTokens or 0)),
        numbers={MEAN_LOGPROB: believed} if _finite(believed) else {},
    )


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)

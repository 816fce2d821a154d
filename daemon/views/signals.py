"""Signals page: what answers are worth by the spec's parts, and what people and tools said of them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ...rewards.spec.spec import DAY, Spec
from ...rewards.spec.term import Term
from ...streams.answers.answer_rows import LATEST
from ...streams.readings.unknown_signals import unknown_signals
from ...streams.state.bulk import by_ids
from ...streams.state.transaction import Transaction
from ..charts.chart import COLOURS, ChartLine, line_chart

NEWEST = 5_000
"""Answers whose content is held that are looked at, the newest."""
BUCKETS, FEWEST = 24, 5
"""Points of a line at most, and answers that a point needs."""
VERSIONS = 6
"""Versions that are shown beside one another: those with the most of these answers."""

_PARTS = msgspec.json.Decoder(dict[str, tuple[float | None, float]])


class WorthRow(NamedTuple):
    """One answer as far as it is worth something."""

    id: str
    """The generation's id."""
    version: str
    """That answered."""
    received: float
    """Epoch seconds."""
    reward: float | None
    """With all feedback so far."""
    parts: Mapping[str, tuple[float | None, float]]
    """The reward's parts and costs: value and weight by name."""


class SignalRow(NamedTuple):
    """One signal on one of these answers."""

    id: str
    """The generation's id."""
    kind: str
    """Its kind."""
    delay: float
    """Seconds from the answer to it."""
    derived: bool
    """Whether nobody posted it: another answer's record says it."""


def read_signals(view: Transaction, policy: str, spec: Spec) -> dict[str, Any]:
    """Return the page's content; reads the newest answers that are held, and their feedback, by key."""
    answers = _answers(view, policy)
    said = list(_said(view, policy, answers))
    return {
        "spec": _spec(spec),
        "count": len(answers),
        "most": NEWEST,
        "since": min((one.received for one in answers), default=None),
        "until": max((one.received for one in answers), default=None),
        "versions": _versions(answers),
        "signals": _by_kind(spec, answers, said),
        "lines": (lines := _lines(answers, said)),
        "chart": line_chart("signals", "Share of answers with a signal, by its kind", lines),
        "unknown": sorted(unknown_signals(view, policy).items(), key=lambda one: -one[1]),
    }


def _answers(view: Transaction, policy: str) -> list[WorthRow]:
    rows = view.execute(
        f"SELECT e.generation_id, COALESCE(e.version, ''), e.received, {LATEST}, e.parts"
        " FROM (SELECT id, generation_id FROM contents WHERE policy = ? ORDER BY id DESC LIMIT ?) c"
        " JOIN episodes e ON e.policy = ? AND e.generation_id = c.generation_id"
        " AND e.content = c.id WHERE e.received IS NOT NULL",
        (policy, NEWEST, policy),
    ).fetchall()
    return [
        WorthRow(name, version, at, reward, {} if parts is None else _PARTS.decode(parts))
        for name, version, at, reward, parts in rows
    ]


def _said(view: Transaction, policy: str, answers: Sequence[WorthRow]) -> Iterable[SignalRow]:
    received = {one.id: one.received for one in answers}
    for marks, chunk in by_ids(list(received)):
        rows = view.execute(
            "SELECT generation_id, kind, received, origin FROM feedback"
            f" WHERE policy = ? AND generation_id IN ({marks}) AND dead = 0",
            (policy, *chunk),
        ).fetchall()
        for name, kind, at, origin in rows:
            yield SignalRow(name, kind, max(0.0, at - received[name]), bool(origin))


def _versions(answers: Sequence[WorthRow]) -> list[dict[str, Any]]:
    """Return the versions with the most answers: what they are worth, in all and by part."""
    by_version = defaultdict[str, list[WorthRow]](list)
    for one in answers:
        by_version[one.version].append(one)
    most = sorted(by_version, key=lambda name: -len(by_version[name]))[:VERSIONS]
    return [
        {
            "version": name,
            "answers": len(of := by_version[name]),
            "decided": sum(one.reward is not None for one in of),
            "reward": _mean([one.reward for one in of if one.reward is not None]),
            "parts": _means(of),
        }
        for name in sorted(most, reverse=True)
    ]


def _means(answers: Sequence[WorthRow]) -> list[tuple[str, float | None, int]]:
    """Return by part its mean and of how many answers it is known."""
    values = defaultdict[str, list[float]](list)
    for one in answers:
        for name, (value, _) in one.parts.items():
            if value is not None:
                values[name].append(value)
    return [(name, _mean(of), len(of)) for name, of in sorted(values.items())]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _by_kind(
    spec: Spec, answers: Sequence[WorthRow], said: Sequence[SignalRow]
) -> list[dict[str, Any]]:
    """Return each kind of signal: how many there are, how late they come, and whether that counts."""
    kinds = defaultdict[str, list[SignalRow]](list)
    for one in said:
        kinds[one.kind].append(one)
    return [
        {
            "kind": kind,
            "count": len(of),
            "answers": (count := len({one.id for one in of})),
            "share": count / max(len(answers), 1),
            "median": (delays := sorted(one.delay for one in of))[len(delays) // 2],
            "late": delays[min(int(0.95 * len(delays)), len(delays) - 1)],
            "horizon": (horizon := spec.horizons.get(kind, DAY)),
            "too_late": sum(delay > horizon for delay in delays),
            "derived": sum(one.derived for one in of),
            "decides": kind in spec.decisive,
        }
        for kind, of in sorted(kinds.items(), key=lambda one: -len(one[1]))
    ]


def _lines(answers: Sequence[WorthRow], said: Sequence[SignalRow]) -> list[ChartLine]:
    """Return the share of answers with each of the most frequent kinds, by when they were given."""
    if not answers:
        return []
    began = min(one.received for one in answers)
    width = max((max(one.received for one in answers) - began) / BUCKETS, 1e-3)
    place = {one.id: min(int((one.received - began) / width), BUCKETS - 1) for one in answers}
    totals = defaultdict[int, int](int)
    for bucket in place.values():
        totals[bucket] += 1
    seen = defaultdict[str, dict[int, set[str]]](lambda: defaultdict(set))
    for one in said:
        seen[one.kind][place[one.id]].add(one.id)
    often = {kind: sum(map(len, by.values())) for kind, by in seen.items()}
    return [
        ChartLine(
            name=kind,
            points=[
                (began + (bucket + 0.5) * width, len(seen[kind].get(bucket, ())) / total)
                for bucket, total in sorted(totals.items())
                if total >= FEWEST
            ],
        )
        for kind in sorted(sorted(often, key=lambda kind: -often[kind])[:COLOURS])
    ]


def _spec(spec: Spec) -> dict[str, Any]:
    parts, costs = spec.terms
    return {
        "version": spec.version,
        "parts": [_term(one) for one in parts],
        "costs": [_term(one) for one in costs],
        "decisive": ", ".join(spec.decisive),
        "decision": sorted(spec.decision.items()),
        "range": spec.range,
    }


def _term(one: Term) -> dict[str, Any]:
    return {
        "name": one.name,
        "of": "" if one.of == one.name else one.of,
        "weight": one.weight,
        "scale": one.scale,
        "horizon": one.horizon,
        "segments": ", ".join(one.segments or ()),
        "reads": ", ".join(sorted(str(kind.__struct_config__.tag) for kind in one.kinds)),
    }

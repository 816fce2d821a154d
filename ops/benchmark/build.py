"""Build: draws a benchmark from production, and keeps its people out of training from then on."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from ...learner.benchmark_people import forget_people, put_people
from ...streams.events.generation import Generation
from ...streams.events.signals import Accepted, Edited
from ...streams.join.episodes_table import feedback_of
from ...streams.redaction.privacy import PrivacySettings
from ...streams.sessions.turns_table import SessionKey, load_turns
from ...streams.state.bulk import by_ids
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction, row_lock
from .benchmark_file import (
    Benchmark,
    BenchmarkManifest,
    BenchmarkName,
    BenchmarkRequest,
    benchmark_names,
    newest,
    read_benchmark,
    remove_benchmark,
    write_benchmark,
)
from .overlap import Overlap
from .pool import LEARNED, Pool, PoolRow, narrowed, read_pool, trained, usable, within
from .settings import BenchmarkSettings

DAY = 86400.0


class TooFew(ValueError):
    """Fewer requests may be drawn than a benchmark needs."""


class BenchmarkSource(NamedTuple):
    """Where requests are drawn from, and by which rules."""

    store: Store
    """The state."""
    policy: str
    """Whose."""
    folder: Path
    """Where benchmarks are."""
    settings: BenchmarkSettings
    """`[benchmark]`, with what was asked for beside it."""
    privacy: PrivacySettings
    """`[privacy]`."""
    spec_version: str
    """Reward spec."""
    retention_days: float
    """After which the requests are forgotten."""


def build_benchmark(
    source: BenchmarkSource, name: str, now: float
) -> tuple[BenchmarkName, Benchmark]:
    """Draw a version of a benchmark, write it, and let the version before it go.

    Raises TooFew, saying what was refused, where fewer requests than `least` are left.
    """
    settings, old = source.settings, newest(source.folder, name)
    since = now - DAY * max(source.retention_days - settings.refresh_days, 0.0)
    number = 1 if old is None else old.number + 1
    with source.store.reading() as view:
        pool = read_pool(view, source.policy, settings, since, f"{name}/{number}")
        rows = narrowed(pool, settings)
        records = usable(view, source.policy, rows, settings, source.privacy, pool.refused)
        overlap, unheld, compared = _compared(view, source.policy, records)
    for generation_id in list(records):
        if why := overlap.refuses(generation_id, settings.overlap):
            pool.refused[why] += 1
            del records[generation_id]
    before = _before(source, old)
    drawn = within(pool, (one for one in rows if one.generation_id in records), settings, before)
    with source.store.transaction() as tx:
        # What was sealed since is trained on now: no lock was held while all of it was read.
        count = len(drawn)
        drawn = _untaught(tx, source.policy, drawn)
        pool.refused["session_trained"] += count - len(drawn)
        if len(drawn) < settings.least:
            raise TooFew(_too_few(len(drawn), settings, pool))
        requests = _requests(tx, source, drawn, records)
        told = {
            "words_of_a_run": 8.0,
            "bound": settings.overlap,
            "compared": float(compared),
            "held_no_more": float(unheld),
            "short": float(overlap.short),
            "largest": max(overlap.largest[one.generation_id] for one in drawn),
        }
        manifest = _manifest(source, name, number, now, pool, drawn, told)
        shared = [one for one in drawn if one.generation_id in before]
        if old is not None:
            both = {"number": float(old.number), "requests": float(len(shared))}
            manifest = msgspec.structs.replace(manifest, shared=both)
        built = Benchmark(manifest=manifest, requests=requests)
        written = write_benchmark(source.folder, built)
        put_people(tx, source.policy, name, number, [one.user for one in drawn])
    for one in benchmark_names(source.folder, name):
        if one != written:
            retire(source.store, source.policy, source.folder, one)
    return written, built


def retire(store: Store, policy: str, folder: Path, name: BenchmarkName) -> None:
    """Let a version go: its file, and its people, who may be learned of again."""
    remove_benchmark(folder, name)
    with store.transaction() as tx:
        forget_people(tx, policy, name.name, name.number)


def _compared(
    view: Transaction, policy: str, records: Mapping[str, Generation]
) -> tuple[Overlap, int, int]:
    overlap, compared = Overlap(records.values()), 0
    learned, unheld = trained(view, policy)
    for one in learned:
        overlap.meet(one)
        compared += 1
    return overlap, unheld, compared


def _before(source: BenchmarkSource, old: BenchmarkName | None) -> frozenset[str]:
    if old is None:
        return frozenset()
    try:
        held = read_benchmark(source.folder, old, source.policy)
    except ValueError:
        return frozenset()  # Damaged: this is how it is built anew.
    return frozenset(one.generation_id for one in held.requests)


def _untaught(tx: Transaction, policy: str, drawn: Sequence[PoolRow]) -> list[PoolRow]:
    """Return those of whose sessions nothing was sealed meanwhile, and which are held; others wait for us."""
    turns = load_turns(tx, policy, {SessionKey(*one.session) for one in drawn})
    session_of = {name: (*key,) for key, each in turns.items() for name in each}
    session_of |= {one.generation_id: one.session for one in drawn}
    taught, gone = set[tuple[str, str]](), set[str]()
    for marks, chunk in by_ids(sorted(session_of)):
        rows = tx.execute(
            f"SELECT generation_id, {LEARNED}, content IS NULL FROM episodes WHERE policy = ?"
            f" AND generation_id IN ({marks}) ORDER BY generation_id" + row_lock(tx),
            (policy, *chunk),
        ).fetchall()
        taught |= {session_of[name] for name, learned, _ in rows if learned}
        gone |= {name for name, _, forgotten in rows if forgotten}
    return [one for one in drawn if one.session not in taught and one.generation_id not in gone]


def _too_few(count: int, settings: BenchmarkSettings, pool: Pool) -> str:
    why = ", ".join(f"{name} {many}" for name, many in sorted(pool.refused.items()))
    return (
        f"{count} requests may be drawn, of at least {settings.least} (benchmark.least);"
        f" {pool.people} people were answered, of whom benchmark.people_share lets"
        f" {int(settings.people_share * pool.people)} be drawn; refused: {why or 'none'}"
    )


def _requests(
    tx: Transaction,
    source: BenchmarkSource,
    drawn: Sequence[PoolRow],
    records: Mapping[str, Generation],
) -> tuple[BenchmarkRequest, ...]:
    said = feedback_of(tx, source.policy, [one.generation_id for one in drawn])
    people = {user: place for place, user in enumerate(dict.fromkeys(one.user for one in drawn), 1)}
    found = []
    for one in sorted(drawn):
        data = records[one.generation_id]
        signals = [each.feedback.signal for each in said.get(one.generation_id, ())]
        edits = [each.final_text for each in signals if isinstance(each, Edited)]
        taken = not edits and any(isinstance(each, Accepted) for each in signals)
        own_words = source.privacy.allows_own_words(data.tenant)
        found.append(
            BenchmarkRequest(
                generation_id=one.generation_id,
                person=people[one.user],
                segment=one.segment,
                prompt_token_ids=data.prompt_token_ids or (),
                input=data.input,
                earlier_answers=data.earlier_answers,
                tools=data.tools,
                sampling=data.sampling,
                taken_token_ids=(data.completion_token_ids or ()) if taken else (),
                edited_to=edits[-1] if edits and own_words else "",
            )
        )
    return tuple(found)


def _manifest(
    source: BenchmarkSource,
    name: str,
    number: int,
    now: float,
    pool: Pool,
    drawn: Sequence[PoolRow],
    overlap: Mapping[str, float],
) -> BenchmarkManifest:
    since, people = min(one.received for one in drawn), {one.user for one in drawn}
    return BenchmarkManifest(
        name=name,
        number=number,
        policy=source.policy,
        spec_version=source.spec_version,
        built_at=now,
        since=since,
        until=max(one.received for one in drawn),
        expires_at=since + DAY * source.retention_days,
        people=len(people),
        seen_people=pool.people,
        learned_of=len(people & pool.learned_of),
        segments=_counted(one.segment for one in drawn),
        production=pool.production,
        refused=dict(sorted(pool.refused.items())),
        overlap=overlap,
        shared={},
        settings=msgspec.to_builtins(source.settings),
    )


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))

"""A replay on an engine that fails: who never answers in time is seen, and who is not to blame is left out."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from releases_by_hand import version

from rlwd.ops.benchmark.benchmark_file import (
    Benchmark,
    BenchmarkManifest,
    BenchmarkRequest,
    write_benchmark,
)
from rlwd.ops.benchmark.benchmark_suite import BenchmarkPlace, BenchmarkSuite
from rlwd.ops.benchmark.compared import judge_replay
from rlwd.ops.benchmark.replay import Replay
from rlwd.ops.benchmark.settings import BOUNDS, BenchmarkSettings
from rlwd.ops.engine.engine_load import EngineLoad
from rlwd.ops.engine.port import Draw, EngineAnswer
from rlwd.ops.statistics.gate import GateSettings
from rlwd.ops.statistics.verdict import VerdictKind
from rlwd.rewards.spec.spec import reward_spec

PEOPLE = 20


class FailingEngine:
    """A fake engine that fails at some versions' answers, and is well otherwise."""

    def __init__(self, fails: Mapping[str, Exception]) -> None:
        self.fails = fails

    def complete(self, name: str, prompt: Sequence[int], draw: Draw) -> EngineAnswer:
        """Answer, or fail, at requests of an even number."""
        if name in self.fails and prompt[0] % 2 == 0:
            raise self.fails[name]
        return EngineAnswer(text="It is done.", calls=(), finish_reason="stop", tokens=4)

    def busy(self) -> EngineLoad | None:
        """Tell nothing."""
        return None

    def healthy(self) -> bool:
        """Be well."""
        return True


def benchmark() -> Benchmark:
    """Return a benchmark of a request for each of so many people."""
    manifest = msgspec.json.decode(
        b'{"name":"b","number":1,"policy":"policy","spec_version":"s","built_at":1,"since":1,"until":1,'
        b'"expires_at":9,"people":20,"seen_people":20,"learned_of":0,"segments":{},"production":{},'
        b'"refused":{},"overlap":{},"shared":{},"settings":{}}',
        type=BenchmarkManifest,
    )
    requests = tuple(
        BenchmarkRequest(
            generation_id=f"g{n}", person=n, segment="default", prompt_token_ids=(n, 1)
        )
        for n in range(PEOPLE)
    )
    return Benchmark(manifest=manifest, requests=requests)


def replayed_on(fails: Mapping[str, Exception], anchor: str = "") -> Replay:
    """Replay until all is answered, as the gate does: it asks again after each failure."""
    replay = Replay(benchmark(), BenchmarkSettings(at_once=1), reward_spec(""), ())
    whole = False
    for _ in range(4 * PEOPLE):
        with contextlib.suppress(ConnectionError, TimeoutError):
            engine = FailingEngine(fails)
            whole = replay.ask("new", "old", engine, seed=0, seconds=60.0, anchor=anchor)  # type: ignore[arg-type]
        if whole:
            break
    assert whole
    return replay


def test_a_candidate_that_never_ends_where_the_champion_does_is_refused() -> None:
    """Ten people of twenty get nothing in time: left out, the other ten would have let it pass."""
    replay = replayed_on({"new": TimeoutError("late")})
    assert (len(replay.pairs), replay.refused) == (PEOPLE, 0)
    verdict = judge_replay(replay.pairs, BOUNDS, 0.05)
    assert verdict.outcome is VerdictKind.FAIL
    assert "empty 0.5, the champion's 0" in verdict.reason


def test_an_engine_that_fails_at_both_or_dies_blames_nobody() -> None:
    """Late for both, or away: these requests are left out, the others judged."""
    late, gone = TimeoutError("late"), ConnectionError("gone")
    for fails in ({"new": late, "old": late}, {"new": gone}, {"old": late}):
        replay = replayed_on(fails)
        assert (len(replay.pairs), replay.refused) == (PEOPLE // 2, PEOPLE // 2)
        assert judge_replay(replay.pairs, BOUNDS, 0.05).outcome is VerdictKind.PASS


def test_what_v0_does_not_answer_is_judged_beside_the_champion_alone() -> None:
    """Late or refused, its failures are not the candidate's, and leave out no request."""
    late, refuses = TimeoutError("late"), ValueError("too long")
    for fails in ({"first": late}, {"first": refuses}):
        replay = replayed_on(fails, anchor="first")
        assert (len(replay.pairs), replay.refused) == (PEOPLE, 0)
        assert sum(one.anchor is not None for one in replay.pairs) == PEOPLE // 2
    replay = replayed_on({"new": late, "first": late}, anchor="first")
    assert sum(one.ours.empty for one in replay.pairs) == PEOPLE // 2
    verdict = judge_replay(replay.pairs, BOUNDS, 0.05, BOUNDS)
    assert "empty 0.5, the champion's 0" in verdict.reason


def test_a_line_is_not_let_on_where_v0_answers_too_little(tmp_path: Path) -> None:
    """Ten answers of v0 are fewer than `least`: nobody meets the version, and nothing is held against it."""
    write_benchmark(tmp_path, benchmark())
    settings = BenchmarkSettings(name="b", at_once=1)
    place = BenchmarkPlace(tmp_path, "policy", settings, reward_spec(""), ())
    engine = FailingEngine({"first": ValueError("too long")})
    suite = BenchmarkSuite(place, "old", "first")
    candidate = version(1, tmp_path / "versions")
    verdict = suite(candidate, engine, GateSettings())  # type: ignore[arg-type]
    assert verdict.outcome is VerdictKind.NODATA
    assert "v0 answered only 10 requests, of at least 20" in verdict.reason
    without = place._replace(settings=BenchmarkSettings(name="b", at_once=1, total=0.0))
    alone = BenchmarkSuite(without, "old", "first")(candidate, engine, GateSettings())  # type: ignore[arg-type]
    assert alone.outcome is VerdictKind.PASS

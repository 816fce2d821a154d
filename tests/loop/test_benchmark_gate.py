"""A benchmark at the gate: a candidate answers it beside the champion before anybody meets it."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from benchmark_shop import Behaves, BenchmarkShop, asking, broken, helpful, question
from rollout_rig import RolloutRig
from waiting import until

from rlwd.daemon.commands.erase import run_erase
from rlwd.daemon.control.timers import Intent
from rlwd.ops.benchmark.benchmark_file import benchmark_names, path_of, read_benchmark
from rlwd.ops.benchmark.keeping import keep_benchmarks
from rlwd.ops.stages.record import Stage
from rlwd.ops.stages.settings import RolloutSettings

SETTINGS = RolloutSettings(
    steps=(0.5,), anchor_share=0.0, step_seconds=0.0, gate_seconds=3600.0, bake_seconds=0.0
)
ROLLOUT = """
[rollout]
steps = [0.5]
anchor_share = 0.0
step_seconds = 0.0
gate_seconds = 3600.0
bake_seconds = 0.0
"""
"""As `SETTINGS`, for a daemon."""
PEOPLE, SIZE = 20, 16


@pytest.fixture
def shop(rig: RolloutRig, tmp_path: Path, stack: ExitStack) -> BenchmarkShop:
    """A shop whose people asked for files, of which a benchmark was built by the command."""
    shop = BenchmarkShop(rig, tmp_path, size=SIZE, share=0.8, rollout=ROLLOUT)
    shop.crowd(range(PEOPLE), files=True)
    shop.run("build")
    shop.govern(stack)
    return shop


def test_a_version_whose_calls_are_broken_on_the_replay_is_refused(shop: BenchmarkShop) -> None:
    """Nobody has met it; its evidence says what it does, how often, and how often the champion does."""
    shop.rig.engine.behaves[shop.rig.versions[1].version] = broken
    reason = shop.judged(1)
    rollout = shop.rig.rollout
    assert rollout.stage is Stage.QUARANTINED
    assert "suite benchmark: shop@000001-" in reason
    assert "invalid_calls 1, the champion's 0 on the same requests" in reason
    assert rollout.gate is not None
    numbers = rollout.gate.numbers
    assert numbers["suite/benchmark/pairs"] == numbers["suite/benchmark/requests"] == SIZE
    assert numbers["suite/benchmark/invalid_calls"] == 1.0
    assert numbers["suite/benchmark/champion/invalid_calls"] == 0.0
    assert numbers["suite/benchmark/taken"] == -1.0
    assert shop.rig.ask("somebody")[1] == shop.rig.versions[0].version


def test_a_version_that_answers_as_the_champion_goes_on(shop: BenchmarkShop) -> None:
    """Both were asked each request once, and what is said of it says how strong that is."""
    reason = shop.judged(1, lambda: shop.rig.rollout.stage is Stage.CANARY)
    assert shop.rig.rollout.stage is Stage.CANARY
    assert "answers as the champion on 16 requests of 16 people" in reason
    assert "what 11 people's answers alone do is shown" in reason
    shown = shop.run("show", "shop")["replays"]
    assert set(shown) == {one.version for one in shop.rig.versions[:2]}
    assert shown[shop.rig.versions[1].version]["invalid_calls"] == 0.0


def asking_at(texts: set[str]) -> Behaves:
    """Ask back at these requests, and answer all others."""
    return lambda body: (asking if body["messages"][-1]["content"] in texts else helpful)(body)


def turn_until(shop: BenchmarkShop, done: Callable[[], bool]) -> None:
    """Let the daemon take turns until something is so."""

    def is_done() -> bool:
        shop.rig.turn()
        return done()

    until(is_done, told=lambda: f"{shop.rig.rollout.stage}, {shop.problems()}")


def test_small_steps_are_refused_by_their_sum(shop: BenchmarkShop, tmp_path: Path) -> None:
    """The second step is no worse beside the champion than the first was, and is beside v0.

    /readyz says by how much until the champion is taken back, for the next version is refused likewise.
    """
    rig, folder = shop.rig, tmp_path / "benchmarks"
    (name,) = benchmark_names(folder)
    asked = [one.input[-1].text for one in read_benchmark(folder, name, "policy").requests]
    for number, many in ((1, 6), (2, 12)):
        rig.engine.behaves[rig.versions[number].version] = asking_at(set(asked[:many]))
    shop.judged(1, lambda: rig.rollout.stage is Stage.CANARY)
    assert "benchmark" not in shop.problems()
    with rig.store.transaction() as tx:
        rig.controller.promote(tx, "by hand", time.time())
    turn_until(shop, lambda: rig.rollout.stage is Stage.SETTLED)

    reason = shop.judged(2)
    said = "in all, step by step: asks 0.75, v0's 0 and the champion's 0.375 on the same requests"
    assert said in reason
    assert rig.rollout.stage is Stage.QUARANTINED
    assert rig.rollout.gate is not None
    numbers = rig.rollout.gate.numbers
    assert numbers["suite/benchmark/anchor/asks"] == 0.0
    assert numbers["suite/benchmark/chance/asks"] > 0.01
    assert rig.versions[0].version in shop.run("show", "shop")["replays"]
    turn_until(shop, lambda: "benchmark" in shop.problems())
    assert said in shop.problems()["benchmark"]
    assert rig.versions[2].version in shop.problems()["benchmark"]

    with rig.store.transaction() as tx:
        rig.controller.rollback(tx, "it asks", time.time())
    turn_until(shop, lambda: "benchmark" not in shop.problems())


def test_it_waits_while_people_are_served(shop: BenchmarkShop) -> None:
    """Where a request waits in the engine none of the replay is asked; it goes on once none does."""
    asked = list[dict[str, Any]]()

    def counting(body: dict[str, Any]) -> tuple[str, str | None]:
        asked.append(body)
        return helpful(body)

    engine, version = shop.rig.engine, shop.rig.versions[1].version
    engine.behaves[version], engine.busy = counting, (1, 4)
    shop.rig.offer(1)
    for _ in range(5):
        shop.rig.turn()
        time.sleep(0.1)
    assert asked == []
    assert shop.rig.rollout.stage is Stage.OFFERED
    engine.busy = (0, 0)

    def passed() -> bool:
        shop.rig.turn()
        return shop.rig.rollout.stage is Stage.CANARY

    until(passed)
    assert len(asked) == SIZE


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.unlink(), "there is no benchmark shop: `rlwd benchmark build`"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "is damaged: its bytes are not"),
    ],
    ids=["gone", "damaged"],
)
def test_without_a_benchmark_nobody_meets_a_version_until_one_is_built(
    shop: BenchmarkShop, tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    """It stays offered, saying why; building one anew is enough."""
    (name,) = benchmark_names(tmp_path / "benchmarks")
    spoil(path_of(tmp_path / "benchmarks", name))
    assert says in shop.judged(1)
    assert shop.rig.rollout.stage is Stage.OFFERED
    shop.run("build")

    def passed() -> bool:
        shop.rig.turn()
        return shop.rig.rollout.stage is Stage.CANARY

    until(passed, told=lambda: f"{shop.rig.rollout.gate}")


def test_an_erased_person_is_in_no_benchmark(
    shop: BenchmarkShop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A version without them takes the old one's place, whose file is gone."""
    folder = tmp_path / "benchmarks"
    (old,) = benchmark_names(folder)
    asked = [one.input[-1].text for one in read_benchmark(folder, old, "policy").requests]
    person = next(n for n in range(PEOPLE) if f"file {question(n)}" in asked)
    assert run_erase(shop.config, f"user{person}", hashed=False) == 0
    assert "shop@000002-" in capsys.readouterr().out
    (new,) = benchmark_names(folder)
    after = read_benchmark(folder, new, "policy")
    assert [one.input[-1].text for one in after.requests] == [
        text for text in asked if text != f"file {question(person)}"
    ]
    assert (after.manifest.without, after.manifest.forgotten) == (1, 1)
    assert question(person).encode() not in path_of(folder, new).read_bytes()
    with shop.rig.store.reading() as view:
        held = view.execute("SELECT number, COUNT(*) FROM benchmark_people GROUP BY 1").fetchall()
    assert held == [(2, SIZE - 1)]
    assert "answers as the champion on 15 requests" in shop.judged(1)


def test_what_retention_forgets_is_in_no_benchmark(shop: BenchmarkShop, tmp_path: Path) -> None:
    """The daemon's timer takes the whole of it away when its first request is over its time."""
    folder, days = tmp_path / "benchmarks", shop.config.retention_days
    keep_benchmarks(shop.rig.store, "policy", folder, time.time() + 86400.0 * (days - 1))
    assert len(benchmark_names(folder)) == 1
    keep_benchmarks(shop.rig.store, "policy", folder, time.time() + 86400.0 * days)
    assert benchmark_names(folder) == []
    with shop.rig.store.reading() as view:
        assert view.execute("SELECT COUNT(*) FROM benchmark_people").fetchone()[0] == 0


def test_the_daemon_draws_a_new_version_once_it_is_due(shop: BenchmarkShop, tmp_path: Path) -> None:
    """It does so by its own command, once an hour; the one before goes, and what is not due stays."""
    control, folder = shop.control, tmp_path / "benchmarks"
    assert control is not None
    (old,) = benchmark_names(folder)
    control.do(Intent.REFRESH, time.time())
    refresh = control.outlets.refresh
    until(lambda: not refresh.running, 120.0)
    assert benchmark_names(folder) == [old]
    path_of(folder, old).unlink()
    control.do(Intent.REFRESH, time.time())
    until(lambda: not refresh.running, 120.0)
    (new,) = benchmark_names(folder)
    assert len(read_benchmark(folder, new, "policy").requests) == SIZE
    assert "answers as the champion" in shop.judged(1)

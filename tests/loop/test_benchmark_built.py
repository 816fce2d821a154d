"""A benchmark, from requests over HTTP to the file that `rlwd benchmark build` writes."""

import os
from pathlib import Path

import pytest
from benchmark_shop import BenchmarkShop, question
from rollout_rig import RolloutRig

from rlwd.daemon.doctor.doctor_benchmark import check_benchmark
from rlwd.ops.benchmark.benchmark_file import benchmark_names, path_of, read_benchmark
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.streams.state.file_lock import lock_file

SETTINGS = RolloutSettings(steps=(0.5,), anchor_share=0.0, step_seconds=0.0, bake_seconds=0.0)


@pytest.fixture
def shop(rig: RolloutRig, tmp_path: Path) -> BenchmarkShop:
    """A shop in which nobody has asked yet."""
    return BenchmarkShop(rig, tmp_path)


def test_requests_are_drawn_and_their_people_teach_nothing_from_then_on(
    shop: BenchmarkShop, tmp_path: Path
) -> None:
    """What was trained on, what overlaps with it, what nobody agreed to: each is refused by its name."""
    taught = shop.crowd(range(10))
    shop.learn(10)
    # A planted overlap: another person says what was learned, among other words; a third one just that.
    planted = shop.ask("copier", f"please {question(3)}, thanks")
    same = shop.ask("repeater", question(4))
    shop.ask("shy", question(500), metadata={"consent": "false"})
    shop.ask("mailing", f"{question(501)} ann@example.com")
    shop.crowd(range(100, 130))
    built = shop.run("build")
    assert built["version"].startswith("shop@000001-")
    assert sum(built["segments"].values()) == built["segments"]["default"] >= 10
    refused = built["refused"]
    assert (refused["overlap"], refused["same_conversation"]) == (1, 1)
    assert (refused["no_consent"], refused["redacted"]) == (1, 1)
    assert refused["session_trained"] == len(taught)
    assert built["overlap"]["compared"] == len(taught)
    assert built["overlap"]["largest"] <= built["overlap"]["bound"]
    assert (built["learned_of"], built["seen_people"]) == (0, 43)
    assert built["people"] <= 21
    folder = tmp_path / "benchmarks"
    (name,) = benchmark_names(folder)
    assert path_of(folder, name).stat().st_mode & 0o077 == 0
    held = read_benchmark(folder, name, "policy")
    drawn = {one.generation_id for one in held.requests}
    assert not drawn & {planted, same, *taught}
    for one in held.requests:
        assert bytes(one.prompt_token_ids).decode() == one.input[-1].text
        assert one.sampling.temperature == 0.7
        assert len(one.taken_token_ids) == 4
    # From here on nothing is learned of these people, whatever they say next.
    asked = {one.input[-1].text for one in held.requests}
    person = next(n for n in range(100, 130) if question(n) in asked)
    later = shop.ask(f"user{person}", question(900))
    others = shop.crowd(range(200, 210))
    batch = shop.learn(10)
    learned = {one.generation_id for one in batch.episodes}
    assert not learned & {later, *drawn}
    assert set(others) <= learned
    assert {shop.fate(one) for one in {later, *drawn}} == {"excluded:benchmark"}
    told = shop.run("list", "--json")["benchmarks"]
    assert [one["version"] for one in told] == [built["version"]]
    assert told[0]["gate"] is True
    assert shop.run("show", "shop")["people"] == built["people"]
    shop.run("retire", "shop")
    assert benchmark_names(folder) == []
    freed = shop.ask(f"user{person}", question(901))
    shop.crowd(range(300, 309))
    assert freed in {one.generation_id for one in shop.learn(10).episodes}


def test_without_consent_nothing_is_drawn(shop: BenchmarkShop, tmp_path: Path) -> None:
    """The command says how many are left, and why the others are not; nothing is written."""
    for number in range(12):
        shop.ask(f"user{number}", question(number), metadata={"consent": "false"})
    shop.rig.settle(shop.answers, shop.said)
    said = shop.run("build", expect=1)["stderr"]
    assert "0 requests may be drawn, of at least 10" in said
    assert "no_consent 12" in said
    assert benchmark_names(tmp_path / "benchmarks") == []


def test_few_people_are_not_all_kept_from_teaching(shop: BenchmarkShop) -> None:
    """Of twelve people `people_share` lets six be drawn: too few, and it says so."""
    shop.crowd(range(12))
    said = shop.run("build", expect=1)["stderr"]
    assert "12 people were answered, of whom benchmark.people_share lets 6 be drawn" in said
    assert "people_share 6" in said


def test_a_new_version_shares_little_with_the_one_before(
    shop: BenchmarkShop, tmp_path: Path
) -> None:
    """It has a number of its own, says how much it shares, and the old one is gone, file and people."""
    shop.path.write_text(shop.path.read_text() + "shared = 0.1\nrefresh_days = 7.0\n")
    shop.crowd(range(60))
    first = shop.run("build")
    folder = tmp_path / "benchmarks"
    (old,) = benchmark_names(folder)
    before = {one.generation_id for one in read_benchmark(folder, old, "policy").requests}
    assert shop.run("build", "--if-due")["stderr"] == "shop is not due\n"
    path = path_of(folder, old)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    found = [one.seen for one in check_benchmark(shop.config)]
    assert [f"{path}: is damaged" in one for one in found] == [True]
    path.write_bytes(content)
    assert [one.seen for one in check_benchmark(shop.config)] == ["is there"]
    second = shop.run("build")
    (new,) = benchmark_names(folder)
    assert (new.number, second["shared"]["number"]) == (2, 1)
    after = {one.generation_id for one in read_benchmark(folder, new, "policy").requests}
    assert len(after & before) == second["shared"]["requests"] <= 3
    assert second["version"] != first["version"]
    with shop.rig.store.reading() as view:
        held = view.execute("SELECT DISTINCT number FROM benchmark_people").fetchall()
    assert held == [(2,)]


def test_one_is_drawn_at_a_time(shop: BenchmarkShop, tmp_path: Path) -> None:
    """Two would both be the next version, and each would let the other's people go."""
    shop.crowd(range(30))
    held = lock_file(shop.config.state_path / "benchmark.lock")
    said = f"process {os.getpid()} draws one"
    assert said in shop.run("build", expect=1)["stderr"]
    assert said in shop.run("build", "--if-due")["stderr"]
    assert benchmark_names(tmp_path / "benchmarks") == []
    os.close(held)
    assert shop.run("build")["version"].startswith("shop@000001-")

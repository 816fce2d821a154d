"""Learner against engine, from HTTP requests to the alarm: an engine whose log-probabilities are not its weights'."""

from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from crowds_by_hand import arm, look_of
from gateway_rig import LoopThread
from lane_shop import LaneShop
from lone_daemon import BATCH
from releases_by_hand import register, version
from scripted_release import House

from rlwd.ops.rollout.problems import release_problems
from rlwd.ops.rollout.unfit import mismatched
from rlwd.ops.stages.mismatch_settings import MismatchSettings
from rlwd.ops.stages.record import Stage

BARS = "[learner.lanes]\nkto = 0.0\n[rollout.mismatch]\ntokens = {tokens}\n"
APART = {"mismatch/tokens": 5000.0, "mismatch/k3": 0.25, "mismatch/by/10.0.0.7:8000/tokens": 10.0}
ALIKE = {"mismatch/tokens": 5000.0, "mismatch/k3": 1e-4}


@pytest.mark.parametrize(("tokens", "alarmed"), [(8, True), (1000, False)])
def test_an_engine_of_other_weights_is_found_and_named(
    tmp_path: Path,
    tiny_policy: Path,
    loop: LoopThread,
    stack: ExitStack,
    *,
    tokens: int,
    alarmed: bool,
) -> None:
    """The fake engine's numbers are made up: manifest, /readyz and status say so, by engine, above the least."""
    shop = LaneShop(tmp_path, tiny_policy, loop, stack, BARS.format(tokens=tokens))
    for number in range(BATCH):
        shop.say(shop.ask(f"u{number}", temperature=1), "rejected" if number % 2 else "accepted")
    batch = shop.trained()
    (manifest,) = shop.shop.manifests
    told = manifest.metrics
    assert {one.age for one in batch.episodes} == {0}
    assert told["mismatch/tokens"] == 4 * BATCH
    assert told["staleness/tokens"] == 0
    (engine,) = {one.engine.partition("://")[2] for one in batch.episodes}
    assert engine
    assert told[f"mismatch/by/{engine}/k3"] == pytest.approx(told["mismatch/k3"])
    assert told["mismatch/k3"] > 1.0
    assert told["mismatch/beyond"] > 0.5
    assert told["mismatch/largest"] > 1.0
    daemon = shop.shop.daemons[0]
    if alarmed:
        shop.shop.until(lambda: "mismatch" in daemon.ask("readyz").get("problems", {}))
        said = daemon.ask("readyz")["problems"]["mismatch"]
        assert manifest.version in said
        assert f"{engine}: k3" in said
    problems = shop.shop.status()["problems"]
    assert ("mismatch" in problems) == alarmed


def test_what_was_trained_on_it_is_not_promoted_until_it_is_over(tmp_path: Path) -> None:
    """Its people say that it is better, and it waits; a newer batch that is measured and well ends that."""
    house = House(tmp_path)
    house.release.step(0.0)
    house.v1 = msgspec.structs.replace(house.v1, metrics=APART)
    house.let_out()
    settings, store = house.controller.settings, house.ledger.store
    fed = look_of(settings, arm(1.0, 2000, exposed=2000), arm(0.2, 2000, exposed=2000))

    def stage(after: float) -> Stage:
        for turn in range(8):
            with store.transaction() as tx:
                rollout = house.controller.observe(tx, fed, after + turn)
        assert rollout is not None
        return rollout.stage

    assert stage(10.0) is Stage.CANARY
    with store.reading() as view:
        found = release_problems(view, "policy", settings, 20.0)
        lenient = msgspec.structs.replace(settings, mismatch=MismatchSettings(tokens=6000))
        assert "mismatch" not in release_problems(view, "policy", lenient, 20.0)
    assert f"{house.v1.version}: k3 0.25 (bar 0.01)" in found["mismatch"]
    unmeasured = msgspec.structs.replace(version(2, tmp_path), metrics={"mismatch/tokens": 3.0})
    register(store, house.controller, unmeasured)
    assert stage(30.0) is Stage.CANARY
    register(store, house.controller, msgspec.structs.replace(version(3, tmp_path), metrics=ALIKE))
    assert stage(50.0) is Stage.PROMOTED
    with store.reading() as view:
        assert "mismatch" not in release_problems(view, "policy", settings, 60.0)


def test_each_bar_is_named() -> None:
    """And a single engine of many that is wrong is enough."""
    bars = MismatchSettings()
    wrong = {"k3": 0.02, "chi2": 1.5, "mean_ratio": 0.4, "beyond": 0.03}
    words = (
        "k3 0.02 (bar 0.01)",
        "chi-squared 1.5 (bar 1)",
        "mean weight 0.4 (bar 0.5)",
        "0.03 (bar",
    )
    for (name, value), said in zip(wrong.items(), words, strict=True):
        one = {"mismatch/tokens": 1000.0, f"mismatch/{name}": value}
        assert said in bars.alarm(one)
        assert not bars.alarm({**one, "mismatch/tokens": 999.0})
    one_of_two = {**ALIKE, "mismatch/by/b:1/tokens": 1000.0, "mismatch/by/b:1/k3": 0.5}
    assert bars.alarm(one_of_two) == "b:1: k3 0.5 (bar 0.01)"


def test_one_engines_mismatch_is_over_by_its_own_answers(tmp_path: Path) -> None:
    """Not by the others', where it answered too little to say: its tokens of several batches are added up."""
    house, settings, name = House(tmp_path), MismatchSettings(), "mismatch/by/b:1"
    store = house.ledger.store
    house.release.step(0.0)

    def wrong(number: int, tokens: float, k3: float) -> str:
        """Make a version on a batch of which that engine answered so much; return what is still wrong."""
        told = {**ALIKE, f"{name}/tokens": tokens, f"{name}/k3": k3} if tokens else ALIKE
        made = msgspec.structs.replace(version(number, tmp_path / "made"), metrics=told)
        register(store, house.controller, made)
        with store.reading() as view:
            found = mismatched(view, "policy", settings)
        return "" if found is None else f"{found[0].sequence}: {found[1]}"

    assert "b:1: k3 0.5 (bar 0.01)" in wrong(1, 1200.0, 0.5)
    assert wrong(2, 400.0, 0.5).startswith("1: ")
    assert wrong(3, 500.0, 1e-4).startswith("1: ")
    assert wrong(4, 600.0, 1e-4).startswith("1: ")  # 0.13 of the 1,500 since.
    assert wrong(5, 1200.0, 1e-4) == ""
    assert wrong(6, 1000.0, 0.5).startswith("6: ")
    assert wrong(7, 700.0, 1e-4).startswith("6: ")
    assert wrong(8, 700.0, 1e-4) == ""
    assert wrong(9, 1000.0, 0.5).startswith("9: ")
    assert wrong(10, 0.0, 0.0) == ""

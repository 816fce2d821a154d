"""Preference evidence, from greedy requests over HTTP to the gate: who learned the opposite meets nobody."""

from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from forked import ForkServer
from forked_engine import ForkedEngine
from gateway_rig import LoopThread
from lane_shop import LaneShop

from rlwd.learner.candidate import Manifest, Preference
from rlwd.learner.drawn_people import drawn_people
from rlwd.ops.statistics.verdict import Verdict, VerdictKind

PEOPLE, SHARE = 24, 0.5


@pytest.fixture
def greedy_shop(
    tmp_path: Path, tiny_policy: Path, loop: LoopThread, stack: ExitStack, forks: ForkServer
) -> LaneShop:
    """A shop that holds out half of its people, with an engine that the gate may ask."""
    settings = {"batch": PEOPLE, "held_out": SHARE}
    fast = "learning_rate = 5e-3\nwarmup_steps = 0"
    gate = "[gate]\nprobe_rounds = 0\nrequire_held_out = true"
    shop = LaneShop(tmp_path, tiny_policy, loop, stack, more=gate, learner=fast, **settings)
    (url,) = shop.shop.config.engine.urls
    port = int(url.rpartition(":")[2])
    stack.enter_context(ForkedEngine(forks, tiny_policy, tmp_path, port))
    return shop


def taught(shop: LaneShop, *, opposite: bool) -> Manifest:
    """Let people take `good` and turn `bad!` down; those who teach say the opposite where asked to."""
    names = dict[str, bool]()
    for number in range(PEOPLE):
        good = number % 2 == 0
        shop.answers("good" if good else "bad!")
        names[shop.ask(f"u{number}", temperature=0)] = good
    told = "SELECT generation_id, user_hash FROM episodes WHERE user_named = 1"
    shop.shop.until(lambda: len(shop.shop.ask(told)) == PEOPLE)
    users = dict(shop.shop.ask(told))
    held = drawn_people(list(users.values()), SHARE, batch_id=1)
    for name, good in names.items():
        lies = opposite and users[name] not in held
        shop.say(name, "accepted" if good is not lies else "rejected")
    batch = shop.trained()
    assert {users[one.generation_id] for one in batch.held_out} == set(held)
    assert {one.lane for one in (*batch.episodes, *batch.held_out)} == {"kto"}
    (manifest,) = shop.shop.manifests
    found = shop.audit()
    assert found.closes, found.problems
    return manifest


def verdict(shop: LaneShop) -> Verdict:
    """Wait until the daemon's gate has spoken, and return what it said."""
    said = "SELECT json_extract(record, '$.gate') AS said FROM rollouts WHERE said IS NOT NULL"
    shop.shop.until(lambda: bool(shop.shop.ask(said)))
    ((record,),) = shop.shop.ask(said)
    return msgspec.json.decode(record, type=Verdict)


def seen(manifest: Manifest) -> Preference:
    """Return the evidence that the version carries: no weighted one, since nothing had a ratio."""
    assert manifest.held_out is None
    assert manifest.preference is not None
    assert manifest.preference.count == manifest.preference.users == PEOPLE * SHARE
    return manifest.preference


def test_a_version_that_learned_what_others_want_passes(greedy_shop: LaneShop) -> None:
    """Twelve people who taught it nothing prefer what it now finds likelier; the gate needs no more."""
    manifest = taught(greedy_shop, opposite=False)
    assert seen(manifest).concordance == 1.0
    said = verdict(greedy_shop)
    assert said.outcome is VerdictKind.PASS
    assert said.numbers["gate/preference"] == 1.0
    assert "gate/first_step" not in said.numbers
    assert "the better one was raised more in 1.000" in said.reason


def test_a_version_that_learned_the_opposite_is_refused(greedy_shop: LaneShop) -> None:
    """The daemon's own gate turns it away before any engine has it, and says why."""
    manifest = taught(greedy_shop, opposite=True)
    assert seen(manifest).concordance == 0.0
    said = verdict(greedy_shop)
    assert said.outcome is VerdictKind.FAIL
    assert "learned the opposite" in said.reason
    outcomes = "SELECT outcome FROM candidates WHERE sequence = 1"
    greedy_shop.shop.until(lambda: greedy_shop.shop.ask(outcomes) == [("quarantined",)])

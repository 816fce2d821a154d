"""Conversations over promotions and rollbacks, from HTTP requests to the comparison."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fake_engine import CHAT
from gateway_rig import LoopThread, wait_for
from rollout_rig import RolloutRig

from rlwd.daemon.status.snapshot import describe_sessions
from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.streams.answers.answer_rows import answer_rows

SETTINGS = RolloutSettings(
    steps=(0.5,), step_users=4, step_seconds=0.0, min_users=30, margin=0.3, bake_share=0.5
)
TALK = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "Good day!"},
    {"role": "user", "content": "and now?"},
]
"""A conversation: what is asked in it goes on from an answer."""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[RolloutRig]:
    """A release whose v0 serves."""
    loop = LoopThread()
    with ExitStack() as stack:
        yield RolloutRig(tmp_path, loop, stack, SETTINGS)
    loop.close()


class Person:
    """Somebody who talks in one session; `returns` what came with the last answer, or not."""

    def __init__(self, rig: RolloutRig, name: str, *, returns: bool) -> None:
        self.rig, self.name, self.returns = rig, name, returns
        self.turns, self.given = 0, ""

    def asks(self) -> str:
        """Ask once more; return the version that answered."""
        headers = {"X-Rlwd-User": self.name, "X-Rlwd-Session": f"chat-of-{self.name}"}
        if self.returns and self.given:
            headers["X-Rlwd-Version"] = self.given
        body = {"model": "rlwd", "messages": TALK[:1] if not self.turns else TALK}
        answer = self.rig.client.post(CHAT, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        self.turns, self.given = self.turns + 1, answer.headers["X-Rlwd-Version"]
        return self.given.partition("; ")[0]


def follow(rig: RolloutRig) -> None:
    """Bring the flags up to the tables, and wait until the gateway acts on them."""
    rig.turn()
    state = read_flags(rig.release.flags)
    assert state is not None
    wait_for(lambda: rig.client.get("/readyz").json()["flag_generation"] == state.generation)


def promote(rig: RolloutRig) -> None:
    with rig.store.transaction() as tx:
        rig.controller.promote(tx, "by hand", time.time())
    follow(rig)


def people(rig: RolloutRig, count: int, *, returns: bool, kind: str = "p") -> list[Person]:
    found = [Person(rig, f"{kind}{number}", returns=returns) for number in range(count)]
    assert {person.asks() for person in found} == {rig.versions[0].version}
    return found


def test_a_promotion_moves_only_who_returns_nothing(rig: RolloutRig) -> None:
    """With the header a conversation ends on the version that it began on; its next does not."""
    keeps, drifts = people(rig, 12, returns=True), people(rig, 12, returns=False, kind="q")
    rig.offer(1)
    promote(rig)
    old, new = (one.version for one in rig.versions[:2])
    assert {person.asks() for person in keeps} == {old}
    assert new in {person.asks() for person in drifts}
    assert Person(rig, keeps[0].name, returns=True).asks() in (old, new)
    rig.settle(12 + 12 + 24 + 1)
    with rig.store.reading() as view:
        sessions = describe_sessions(view, "policy")
    assert sessions["seen"] == 24
    assert 0 < sessions["switched"] <= 12


def test_a_rollback_moves_every_conversation_at_once(rig: RolloutRig) -> None:
    """What was taken back answers nobody, however long they had talked with it."""
    rig.offer(1)
    promote(rig)
    talkers = [Person(rig, f"p{number}", returns=True) for number in range(12)]
    bad = rig.versions[1].version
    met = [person for person in talkers if person.asks() == bad]
    assert met
    with rig.store.transaction() as tx:
        rig.controller.rollback(tx, "it shouts", time.time())
    follow(rig)
    assert {person.asks() for person in met} == {rig.versions[0].version}


@pytest.mark.parametrize("returns", [True, False])
def test_who_was_in_the_middle_counts_for_neither_variant(rig: RolloutRig, returns: bool) -> None:
    """An experiment compares conversations that began in it, kept ones and drifting ones left out."""
    before = people(rig, 40, returns=returns)
    rig.offer(1)
    for person in before:
        person.asks()
    fresh = [Person(rig, f"new{number}", returns=returns) for number in range(40)]
    for _ in range(2):
        for person in fresh:
            person.asks()
    rig.settle(160)
    with rig.store.reading() as view:
        salt = rig.rollout.version
        counted = answer_rows(view, "policy", salt)
        served = view.execute(
            "SELECT COUNT(*) FROM episodes WHERE salt = ? AND variant IN ('candidate', 'control')",
            (salt,),
        ).fetchone()[0]
    met = {row.user for row in counted}
    assert 0 < len(met) <= 40
    assert len(counted) == 2 * len(met), "both turns of those who began in it"
    assert served > len(counted), "the others are known and not counted"

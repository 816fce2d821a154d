"""From HTTP requests to the sealed batch: a broken call is a negative, and an outage is excluded by name."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from gateway_rig import CHAT, LoopThread
from rollout_rig import RolloutRig

from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.seal import seal
from rlwd.learner.sealed import SealedBatch
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.rewards.spec.spec import DEFAULT_SPEC, load_spec
from rlwd.streams.answers.answer_tallies import count_fates

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
ASKED: list[dict[str, Any]] = [{"role": "user", "content": "add them"}]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[RolloutRig]:
    """A release whose v0 serves, with the built-in spec."""
    loop = LoopThread()
    with ExitStack() as stack:
        yield RolloutRig(tmp_path, loop, stack, RolloutSettings(), spec=load_spec(DEFAULT_SPEC))
    loop.close()


def sealed(rig: RolloutRig) -> SealedBatch:
    """Freeze what is ready into a batch."""
    with rig.store.transaction() as tx:
        batch = seal(
            tx,
            "policy",
            BatchSettings(episodes=1, held_out=0.0, user_share=1.0),
            parent_sequence=0,
            max_policy_age=8,
            age=lambda version: 0,
            now=time.time(),
        )
    assert batch is not None
    return batch


def test_a_broken_call_that_nobody_speaks_of_is_sealed_as_a_negative(rig: RolloutRig) -> None:
    """Beside an answer that was taken and one that was turned down; one that only worked waits."""
    names = {}
    for user, arguments, said in (
        ("taken", '{"a": 1}', "accepted"),
        ("refused", '{"a": 1}', "rejected"),
        ("broken", '{"a": 1, "b', None),
        ("no object", "[1]", None),
        ("broken and taken", '{"a": 1, "b', "accepted"),
        ("worked", '{"a": 1}', None),
    ):
        rig.engine.arguments = arguments
        _, _, names[user] = rig.ask(user, tools=[TOOL], stream=False)
        if said:
            rig.say(names[user], said)
    rig.settle(6, 3 + 3)
    rewards = {one.generation_id: one.reward for one in sealed(rig).episodes}
    assert rewards == {
        names["taken"]: 1.0,
        names["refused"]: 0.0,
        names["broken"]: 0.0,
        names["no object"]: 0.0,
        names["broken and taken"]: 0.5,
    }


@pytest.mark.parametrize(
    ("arguments", "came_back", "rewards", "fates"),
    [
        ('{"a": 1}', "HTTP 503 Service Unavailable", [], {"excluded:tool_outage": 2}),
        ('{"a": 1}', "ENOENT: no such file or directory", [0.0, 0.0], {"waiting": 2}),
        ('{"a": "echo HTTP 503"}', "HTTP 503", [0.0, 0.0], {"waiting": 2}),
    ],
)
def test_an_outage_is_counted_by_name_and_punishes_nobody(
    rig: RolloutRig, arguments: str, came_back: str, rewards: list[float], fates: dict[str, int]
) -> None:
    """Neither the answer that called the tool nor the one that had to do without it; a file that is
    not there is the model's to know, an outage that it wrote is none, and both are turned down."""
    rig.engine.arguments = arguments
    headers = {"X-Rlwd-User": "ana", "X-Rlwd-Session": "talk"}
    body = {"model": "rlwd", "messages": ASKED, "tools": [TOOL]}
    first = rig.client.post(CHAT, json=body, headers=headers).json()
    said = first["choices"][0]["message"]
    call = said["tool_calls"][0]["id"]
    result = {"role": "tool", "tool_call_id": call, "content": f"Error: {came_back}"}
    said = {"role": "assistant", "content": said.get("content"), "tool_calls": said["tool_calls"]}
    body["messages"] = [*ASKED, said, result]
    second = rig.client.post(CHAT, json=body, headers=headers).json()
    for one in (first, second):
        rig.say(one["id"], "rejected")
    rig.settle(2, 3)
    with rig.store.reading() as view:
        assert count_fates(view, "policy") == fates
    if rewards:
        assert [one.reward for one in sealed(rig).episodes] == rewards

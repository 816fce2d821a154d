"""Chains, from HTTP requests to the sealed batch: what they are worth, and that they pass as one sequence."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest
from gateway_rig import LoopThread
from lane_shop import ANSWER, LaneShop
from lone_daemon import BATCH

SPEC = """\
name = "chains"
decisive = ["outcome"]

[parts]
outcome = 1.0

[spread]
outcome = { discount = 0.5 }

[costs.task]
of = "effort"
over = "chain"
weight = 1.0
scale = 1000.0
options = { q = 0.0, turns = 10.0 }
"""


def test_one_feedback_and_one_cost_are_of_the_whole_session(
    tmp_path: Path, tiny_policy: Path, loop: LoopThread, stack: ExitStack
) -> None:
    """An outcome posted for the last of eight answers reaches all eight, by their distance; each is
    charged what all of them took; `rlwd rewards explain` says so."""
    (tmp_path / "spec.toml").write_text(SPEC)
    shop = LaneShop(
        tmp_path, tiny_policy, loop, stack, step=BATCH, user_share=1.0, reward_spec="spec.toml"
    )
    messages, names = list[dict[str, str]](), list[str]()
    for turn in range(BATCH):
        messages.append({"role": "user", "content": f"turn {turn}"})
        names.append(shop.ask("ann", messages=messages, temperature=1))
        messages.append({"role": "assistant", "content": "".join(ANSWER)})
    shop.say(names[-1], "outcome", name="merged", value=1.0)
    sealed = {one.generation_id: one for one in shop.trained().episodes}
    assert sealed.keys() == set(names)
    charged = (len(ANSWER) + 10.0) * BATCH / 1000.0
    assert [sealed[name].reward for name in names] == pytest.approx([1.0 - charged] * BATCH)
    # Other rules of trust weigh the last ones down, too: they are one user's and much alike.
    weights = [sealed[name].weight for name in names[:5]]
    assert weights == [0.5 ** (BATCH - 1 - turn) for turn in range(5)], "by their distance"
    command = [sys.executable, "-m", "rlwd.daemon", "rewards", "explain", names[-3], "--json"]
    config = str(tmp_path / "one.toml")
    done = subprocess.run([*command, "--config", config], capture_output=True, check=True)
    told = orjson.loads(done.stdout)
    assert [one["name"] for one in told["costs"]] == ["task"]
    assert told["taken_off"] == pytest.approx(charged)
    assert told["reward"] == pytest.approx(1.0 - charged)


def test_a_session_of_several_turns_costs_its_length(
    tmp_path: Path, tiny_policy: Path, loop: LoopThread, stack: ExitStack
) -> None:
    """Eight turns over HTTP are eight trained episodes; the manifest says that they passed as one."""
    shop = LaneShop(tmp_path, tiny_policy, loop, stack, step=BATCH, user_share=1.0)
    messages, names = list[dict[str, str]](), list[str]()
    for turn in range(BATCH):
        messages.append({"role": "user", "content": f"turn {turn}"})
        names.append(shop.ask("ann", messages=messages, temperature=1))
        messages.append({"role": "assistant", "content": "".join(ANSWER)})
    for number, name in enumerate(names):
        shop.say(name, "rejected" if number % 3 else "accepted")
    batch = shop.trained()
    assert {one.generation_id for one in batch.episodes} == set(names)
    lengths = [len(one.prompt_token_ids) + len(one.completion_token_ids) for one in batch.episodes]
    (manifest,) = shop.shop.manifests
    passes = shop.shop.passes
    assert manifest.metrics["tokens/forward"] == passes * max(lengths)
    assert manifest.metrics["tokens/shared"] == passes * (sum(lengths) - max(lengths))
    assert manifest.metrics["episodes/trained"] == BATCH
    assert shop.audit().closes

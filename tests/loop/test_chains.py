"""Chains, from HTTP requests to the manifest: a session's turns pass the learner as one sequence."""

from contextlib import ExitStack
from pathlib import Path

from gateway_rig import LoopThread
from lane_shop import ANSWER, LaneShop
from lone_daemon import BATCH


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

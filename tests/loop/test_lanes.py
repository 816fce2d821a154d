"""Lanes, from HTTP requests to the trained version: what each answer was learned from by is on its row."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from gateway_rig import LoopThread
from lane_shop import LaneShop
from lone_daemon import BATCH


@pytest.fixture
def lane_shop(tmp_path: Path, tiny_policy: Path, loop: LoopThread, stack: ExitStack) -> LaneShop:
    """A shop that runs."""
    return LaneShop(tmp_path, tiny_policy, loop, stack)


def test_what_the_ratio_lane_cannot_use_teaches(lane_shop: LaneShop) -> None:
    """Greedy answers, edits and a follow-up over HTTP: sealed each for its lane, trained, all adds up."""
    names = [lane_shop.ask(f"u{n}", temperature=int(n == BATCH - 1)) for n in range(BATCH)]
    lane_shop.say(names[0], "followed_up", text="say good")
    for number, name in enumerate(names[:6]):
        lane_shop.say(name, "rejected" if number % 3 else "accepted")
    for name in names[6:]:
        lane_shop.say(name, "edited", final_text="good!")
    batch = lane_shop.trained()
    lanes = {one.generation_id: one.lane for one in batch.episodes}
    told = ["kto+hindsight", *["kto"] * 5, "dpo", "ratio+dpo"]
    assert lanes == dict(zip(names, told, strict=True))
    (manifest,) = lane_shop.shop.manifests
    units = {"kto": 6.0, "dpo": 2.0, "hindsight": 1.0}
    assert {lane: manifest.metrics[f"lane/{lane}/units"] for lane in units} == units
    assert manifest.metrics["lane/kto/liked"] == pytest.approx(2 / 6)
    assert not manifest.left_out
    found = lane_shop.audit()
    assert found.closes, found.problems
    assert found.trained_by_lane == {"dpo": 2, "hindsight": 1, "kto": 6, "ratio": 1}
    story = lane_shop.explain(names[6])
    assert (story["fate"], story["lane"]) == ("trained", "dpo")
    assert lane_shop.shop.status()["trained_by_lane"] == found.trained_by_lane

"""How many users a batch is of, from HTTP requests to what the daemon's page says and what is sealed."""

from contextlib import ExitStack
from pathlib import Path

from gateway_rig import LoopThread
from lane_shop import LaneShop
from lone_daemon import BATCH


def test_a_few_who_decide_much_wait_for_others(
    tmp_path: Path, tiny_policy: Path, loop: LoopThread, stack: ExitStack
) -> None:
    """Answers enough of two users are kept, and the page says of how many users they are; a third one's
    makes the batch, in which each of the three is."""
    shop = LaneShop(tmp_path, tiny_policy, loop, stack, step=BATCH, user_share=1.0, users=3)
    (daemon,) = shop.shop.daemons
    asked = ["ann", "ben"] * (BATCH // 2) + ["ann"] * 2
    for number, user in enumerate(asked):
        shop.say(shop.ask(user, temperature=1), "rejected" if number % 3 else "accepted")
    waits = "waiting for other people: answers to 2 of 3 users"
    shop.shop.until(lambda: daemon.live.get("learner") == waits)
    assert shop.shop.ask("SELECT COUNT(*) FROM batches") == [(0,)]
    third = shop.ask("cas", temperature=1)
    shop.say(third, "accepted")
    names = {one.generation_id for one in shop.trained().episodes}
    assert third in names
    assert len(names) == len(asked) + 1
    assert shop.audit().closes

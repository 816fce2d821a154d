"""A reward spec changes under a daemon's state: the next batch is of one spec, as a replay has it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from lone_daemon import BATCH, Workshop

from rlwd.daemon.commands.replay import drain
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import load_spec
from rlwd.streams.join.ingest import Ingest
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.log.embedded_log import EmbeddedSource
from rlwd.streams.open import open_store

pytestmark = pytest.mark.timeout(900)

OLD = 'name = "old"\n[parts]\naccepted = 1.0\n'
NEW = 'name = "new"\nrange = [-1.0, 2.0]\n[parts]\naccepted = 1.0\n'


@pytest.fixture
def shop(tiny_policy: Path, tmp_path: Path) -> Iterator[Workshop]:
    """A state of its own."""
    made = Workshop(tmp_path, tiny_policy, passes=1, poll_seconds=0.05)
    yield made
    made.close()


def with_spec(shop: Workshop, name: str, text: str) -> Any:
    """Make a daemon whose config names a spec of this text."""
    (shop.folder / "spec.toml").write_text(text)
    shop.reward_spec = "spec.toml"
    return shop.daemon(name)


def replayed(shop: Workshop, folder: Path) -> dict[str, float]:
    """Read the log into a fresh state under the spec of now; return its rewards."""
    spec, store = load_spec(shop.folder / "spec.toml"), open_store(folder / "fresh.db")
    joiner = Joiner("policy", Scorer(spec), spec.decision_seconds)
    topics = shop.config.stream.generations, shop.config.stream.feedback
    ingest = Ingest(
        store, joiner, lambda resume: EmbeddedSource(shop.config.log_path, topics, resume)
    )
    drain(ingest)
    with store.reading() as view:
        found = dict(view.execute("SELECT generation_id, reward FROM episodes").fetchall())
    store.close()
    return found


def test_what_waited_is_scored_again_before_it_is_learned_from(
    shop: Workshop, tmp_path: Path
) -> None:
    """Six answers wait under the old spec; after a restart with another one they are in its batch."""
    before = with_spec(shop, "before", OLD)
    before.start()
    shop.until(lambda: before.live.get("learner") == "waiting for episodes")
    shop.say(BATCH - 2)
    waits = "SELECT COUNT(*), MIN(spec_version) FROM episodes WHERE stage = 'ready'"
    shop.until(lambda: shop.ask(waits)[0][0] == BATCH - 2)
    old = load_spec(shop.folder / "spec.toml").version
    assert shop.ask(waits) == [(BATCH - 2, old)]
    before.stop(10.0)
    after = with_spec(shop, "after", NEW)
    new = load_spec(shop.folder / "spec.toml").version
    after.start()
    shop.until(lambda: shop.ask(waits) == [(BATCH - 2, new)])
    shop.until(lambda: after.live.get("reward_spec") == new)
    shop.say(2)
    shop.until(lambda: len(shop.ask("SELECT content FROM batches")) == 1)
    batch = orjson.loads(shop.ask("SELECT content FROM batches")[0][0])
    rewards = {one["generation_id"]: one["reward"] for one in batch["episodes"]}
    assert batch["spec_version"] == new
    assert rewards == pytest.approx(replayed(shop, tmp_path))
    assert sorted(set(rewards.values())) == pytest.approx([1 / 3, 2 / 3])
    assert shop.ask("SELECT DISTINCT spec_version FROM episodes") == [(new,)]

"""A batch without a step: each of its answers, held out or not, ends by what is true of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from daemon_by_hand import decide
from laned_ledger import ledger_with, sealed
from ledger_by_hand import Ledger

from rlwd.daemon.audit.audit import audit
from rlwd.daemon.explain.explain import explain
from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.learner.drift_settings import DriftSettings
from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.ledger.batches_table import pending_batch, write_batch
from rlwd.learner.ledger.checkpoints_table import record_checkpoints
from rlwd.learner.ledger.lane_choice import LaneRules
from rlwd.learner.process.worker import Worker
from rlwd.learner.settings import LearnerProcessSettings
from rlwd.streams.events.input_message import InputMessage

KTO = LaneRules(settings=LaneSettings(top_p=1.0, kto=1.0, dpo=0.0))
RATIO = LaneRules()
V30 = "policy@v000030-00000000"
Learn = Callable[..., dict[str, str]]


@pytest.fixture
def learn(child_settings: LearnerProcessSettings, tmp_path: Path) -> Learn:
    """Seal all that is ready, let a learner have it, and return what each answer's story says."""

    def learn(ledger: Ledger, rules: LaneRules, held_out: float = 0.0, **more: Any) -> Any:
        settings = msgspec.structs.replace(child_settings.learner, lanes=rules.settings, **more)
        worker = Worker(msgspec.structs.replace(child_settings, learner=settings))
        batch = sealed(ledger, rules, count=2, held_out=held_out)
        assert batch is not None
        assert bool(batch.held_out) == bool(held_out)
        with ledger.store.reading() as view:
            pending = pending_batch(view, "policy")
        assert pending is not None
        worker.apply(write_batch(tmp_path / "batches", *pending[:2]))
        manifests = read_manifests(Path(child_settings.folder))
        with ledger.store.transaction() as tx:
            record_checkpoints(tx, "policy", manifests)
        with ledger.store.reading() as view:
            assert audit(view, "policy", manifests).problems == ()
            names = [one.generation_id for one in (*batch.episodes, *batch.held_out)]
            return {name: explain(view, "policy", name)["fate"] for name in names}

    return learn


@pytest.mark.parametrize(
    ("rule", "more", "given"),
    [
        ("no_spread", {}, {}),
        ("drift", {"drift": DriftSettings(version_norm=1e-9)}, {"turn_down": 2}),
        ("low_ess", {"ess_floor": 1.0}, {"turn_down": 2, "logprobs": (-1e-3,)}),
        ("too_long", {"max_episode_tokens": 2}, {"turn_down": 2}),
        ("unknown_tokens", {}, {"turn_down": 2, "completion_token_ids": (5000,)}),
    ],
)
def test_what_was_held_out_ends_as_its_batch(
    rule: str, more: dict[str, Any], given: dict[str, Any], tmp_path: Path, learn: Learn
) -> None:
    """Where nothing was learned the evidence is for no version: it ends by the batch's own reason."""
    ledger, every = ledger_with(tmp_path, RATIO), given.get("turn_down", 0)
    for number in range(12):
        one = {key: value for key, value in given.items() if key != "turn_down"}
        if number % 3 == 0 or "logprobs" not in given:
            one["logprobs"] = (-5.5,)  # About what the learner says: the others' ratios are near 0.
        taken = not every or number % every != 1
        decide(ledger, f"g{number}", 1000.0 + number, taken=taken, version=V30, **one)
    told = learn(ledger, RATIO, held_out=0.4, **more)
    assert set(told.values()) == {f"excluded:{rule}"}


def test_an_answer_that_a_lane_cannot_hold_or_read_is_named_so(
    tmp_path: Path, learn: Learn
) -> None:
    """Spelled by the learner one is too long, and not alike; what a lane cannot tell apart has no spread."""
    ledger = ledger_with(tmp_path, KTO)
    texts: dict[str, Any] = {
        "prompt_token_ids": None,
        "completion_token_ids": None,
        "logprobs": None,
    }
    asked = (InputMessage(role="user", text="hi"),)
    for name, taken, text in (
        ("good", True, "yes"),
        ("bad", False, "no"),
        ("long", True, "x" * 90),
    ):
        decide(ledger, name, 1000.0, taken=taken, version=V30, text=text, input=asked, **texts)
    told = learn(ledger, KTO, max_episode_tokens=60)
    assert told == {"good": "trained", "bad": "trained", "long": "excluded:too_long"}


def test_a_lane_without_spread_says_that(tmp_path: Path, learn: Learn) -> None:
    """Two that were liked tell nothing apart, and the third is too long all the same."""
    ledger = ledger_with(tmp_path, KTO)
    texts: dict[str, Any] = {
        "prompt_token_ids": None,
        "completion_token_ids": None,
        "logprobs": None,
    }
    asked = (InputMessage(role="user", text="hi"),)
    for name, text in (("good", "yes"), ("too", "no"), ("long", "x" * 90)):
        decide(ledger, name, 1000.0, version=V30, text=text, input=asked, **texts)
    told = learn(ledger, KTO, max_episode_tokens=60)
    spreadless = dict.fromkeys(("good", "too"), "excluded:no_spread")
    assert told == spreadless | {"long": "excluded:too_long"}

"""Held-out people: whose answers without ratios are kept from training, as the gate's preference evidence."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from daemon_by_hand import decide
from laned_ledger import ledger_with, sealed

from rlwd.learner.drawn_people import drawn_people
from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.ledger.lane_choice import LaneRules
from rlwd.learner.sealed import SealedBatch
from rlwd.streams.events.input_message import InputMessage

KTO = LaneRules(settings=LaneSettings(dpo=0.0))
GREEDY = {"temperature": 0.0}
CUT = {"temperature": 1.0, "top_p": 0.96}
PLAIN = {"temperature": 1.0}


def batch_of(folder: Path, users: int, sampling: dict[str, Any], each: int = 2) -> SealedBatch:
    """Seal the answers of so many users, a tenth of whom may be held out."""
    ledger = ledger_with(folder, KTO)
    version = "policy@v000030-00000000"
    for number in range(users * each):
        more: dict[str, Any] = {"sampling": sampling, "user_hash": f"u{number % users}"}
        decide(*(ledger, f"g{number}", 1000.0 + number), version=version, **more)
    batch = sealed(ledger, KTO, count=users * each, held_out=0.1)
    assert batch is not None
    return batch


@pytest.mark.parametrize("sampling", [GREEDY, CUT])
def test_a_tenth_of_the_users_is_held_out_whole(tmp_path: Path, sampling: dict[str, Any]) -> None:
    """All answers of eight users of eighty, greedy or cut by top-p; each user has a number."""
    batch = batch_of(tmp_path, 80, sampling)
    by_number = defaultdict[int, set[str]](set)
    for one in batch.held_out:
        by_number[one.person].add(f"u{int(one.generation_id[1:]) % 80}")
    assert sorted(by_number) == list(range(1, 9))
    assert all(len(users) == 1 for users in by_number.values())
    held = set().union(*by_number.values())
    trained = {f"u{int(one.generation_id[1:]) % 80}" for one in batch.episodes}
    assert len(held) == 8
    assert held | trained == {f"u{number}" for number in range(80)}
    assert not held & trained
    assert {one.person for one in batch.episodes} == {0}


def test_nothing_of_a_held_out_user_is_trained_on(tmp_path: Path) -> None:
    """A product that asks at temperature 0 and at 1: what a held-out user said of the latter teaches nothing
    either, and is evidence of the other kind. Who has texts without tokens, which are no evidence, is not drawn."""
    ledger, version = ledger_with(tmp_path, KTO), "policy@v000030-00000000"
    said = (InputMessage(role="user", text="hello"),)
    untold = dict.fromkeys(("prompt_token_ids", "completion_token_ids", "logprobs"))
    texts: dict[str, Any] = {"sampling": GREEDY, **untold, "input": said, "text": "hi"}
    answers: list[tuple[int, dict[str, Any]]] = [
        *((user, {"sampling": GREEDY}) for user in range(90)),
        *((user, {"sampling": PLAIN}) for user in range(80)),
        *((user, texts) for user in range(80, 90)),
    ]
    of_user = dict[str, int]()
    for number, (user, more) in enumerate(answers):
        of_user[name := f"g{number}"] = user
        decide(ledger, name, 1000.0, version=version, user_hash=f"u{user}", **more)
    batch = sealed(ledger, KTO, count=len(answers), held_out=0.1)
    assert batch is not None
    drawn = {of_user[one.generation_id] for one in batch.held_out if one.person}
    assert len(drawn) == 8
    assert max(drawn) < 80
    assert not drawn & {of_user[one.generation_id] for one in batch.episodes}
    theirs = [one for one in batch.held_out if of_user[one.generation_id] in drawn]
    assert {(one.lane, bool(one.person)) for one in theirs} == {("kto", True), ("ratio", False)}
    assert {one.text for one in batch.episodes} == {"", "hi"}


def test_with_too_few_users_nobody_is(tmp_path: Path) -> None:
    """Seven would show nothing, and their answers would be lost."""
    assert not batch_of(tmp_path, 70, GREEDY).held_out


def test_what_has_a_ratio_is_held_out_by_answer(tmp_path: Path) -> None:
    """It is for the weighted estimate, and has no number."""
    batch = batch_of(tmp_path, 80, PLAIN)
    assert batch.held_out
    assert {one.person for one in batch.held_out} == {0}


def test_every_batch_draws_others() -> None:
    """Nobody's answers are lost for good; the same batch draws the same again."""
    users = [f"u{number}" for number in range(200)]
    first, second = (drawn_people(users, 0.1, batch_id=number) for number in (1, 2))
    assert len(first) == len(second) == 20
    assert first == drawn_people(users[::-1], 0.1, batch_id=1)
    assert len({*first, *second}) > 30

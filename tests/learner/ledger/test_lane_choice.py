"""Lane choice: what the ratio lane cannot use is sealed for another lane, where one is on."""

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import pytest
from daemon_by_hand import decide
from laned_ledger import ledger_with, sealed
from manifests_by_hand import version_of

from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.ledger.batches_table import trained_by_lane
from rlwd.learner.ledger.lane_choice import RATIO_ONLY, LaneRules
from rlwd.learner.sealed import SealedBatch, batch_hash

KTO = LaneRules(settings=LaneSettings(kto=1.0, max_age=20))
UNUSABLE: dict[str, dict[str, Any]] = {
    "excluded:greedy": {"sampling": {"temperature": 0.0}},
    "excluded:low_temperature": {"sampling": {"temperature": 0.01}},
    "excluded:cut_sampling": {"sampling": {"top_k": 20}},
    "excluded:raw_logprobs": {"logprobs_mode": "raw", "sampling": {"temperature": 0.5}},
    "excluded:no_logprobs": {"logprobs": None},
    "excluded:no_version": {"version": ""},
}


@pytest.mark.parametrize("rule", UNUSABLE)
def test_what_has_no_usable_ratio_is_for_kto(tmp_path: Path, rule: str) -> None:
    """With the lane on the answer waits and is sealed for it; with it off its fate is its rule."""
    for rules in (KTO, RATIO_ONLY):
        folder = tmp_path / str(rules.settings.kto)
        folder.mkdir()
        ledger = ledger_with(folder, rules)
        decide(ledger, "odd", 1000.0, **{"version": version_of(30), **UNUSABLE[rule]})
        decide(ledger, "plain", 1001.0, version=version_of(30))
        batch = sealed(ledger, rules)
        assert batch is not None
        lanes = {one.generation_id: one.lane for one in batch.episodes}
        if rules is KTO:
            assert lanes == {"odd": "kto", "plain": "ratio"}
            row = ledger.ask("SELECT lane FROM episodes WHERE generation_id = 'odd'")
            assert row == ("kto",)
        else:
            assert lanes == {"plain": "ratio"}
            assert ledger.fates() == {rule: 1, "waiting": 1}
        ledger.store.close()


def test_at_a_service_another_temperature_is_for_kto(tmp_path: Path) -> None:
    """Its log-probabilities are at temperature 1: no ratio of anything else can be made."""
    rules = dataclasses.replace(KTO, at_one=True)
    ledger = ledger_with(tmp_path, rules)
    for name, temperature in (("odd", 0.7), ("plain", 1.0)):
        sampling = {"temperature": temperature}
        decide(ledger, name, 1000.0, version=version_of(30), sampling=sampling)
    batch = sealed(ledger, rules)
    assert batch is not None
    assert {one.generation_id: one.lane for one in batch.episodes} == {
        "odd": "kto",
        "plain": "ratio",
    }


@pytest.mark.parametrize(
    "more",
    [
        {"sampling": {"temperature": 0.0, "constrained": True}},
        {"finish_reason": "abort", "sampling": {"temperature": 0.0}},
        {"completion_token_ids": (), "logprobs": None},
        {"purposes": ("count", "share")},
        {"redacted": ("mail",)},
        {"mixed_versions": True},
    ],
)
def test_what_no_lane_may_use_is_excluded_all_the_same(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    """Bent, broken off, without tokens, without leave: no lane takes it."""
    ledger = ledger_with(tmp_path, KTO)
    decide(ledger, "odd", 1000.0, **{"version": version_of(30), **more})
    (ends,) = ledger.fates()
    assert ends.startswith("excluded:")


def test_age_has_a_bound_for_each_lane(tmp_path: Path) -> None:
    """Beyond the ratio lane's bound an answer is KTO's, beyond that one's nobody's."""
    ledger = ledger_with(tmp_path, KTO)
    for number in (30, 22, 21, 10, 9):
        decide(ledger, f"v{number}", 1000.0 + number, version=version_of(number))
    decide(ledger, "elsewhere", 1000.0, version="another model")
    batch = sealed(ledger, KTO)
    assert batch is not None
    assert [(one.generation_id, one.age, one.lane) for one in batch.episodes] == [
        ("v30", 0, "ratio"),
        ("v22", 8, "ratio"),
        ("v21", 9, "kto"),
        ("v10", 20, "kto"),
        ("elsewhere", -1, "kto"),
    ]
    assert ledger.fates() == {"excluded:too_old": 1, "waiting": 5}


def test_what_the_other_lanes_may_not_have_for_its_age_is_in_no_batch(tmp_path: Path) -> None:
    """Where the ratio lane takes older answers than they do: not for the learner to leave out."""
    rules = LaneRules(settings=LaneSettings(max_age=4))
    ledger = ledger_with(tmp_path, rules)
    for number in (26, 25):
        decide(ledger, f"v{number}", 1000.0, version=version_of(number))
        greedy: dict[str, Any] = {"sampling": {"temperature": 0.0}, "version": version_of(number)}
        decide(ledger, f"greedy v{number}", 1000.0, **greedy)
    batch = sealed(ledger, rules)
    assert batch is not None
    lanes = {one.generation_id: one.lane for one in batch.episodes}
    assert lanes == {"v26": "ratio", "v25": "ratio", "greedy v26": "kto"}
    assert ledger.fates() == {"excluded:too_old": 1, "waiting": 3}


def test_a_lane_that_was_switched_off_leaves_nothing_waiting(tmp_path: Path) -> None:
    """What became ready for it ends by the ratio lane's rule, once others would be sealed."""
    ledger = ledger_with(tmp_path, KTO)
    decide(ledger, "greedy", 1000.0, version=version_of(30), sampling={"temperature": 0.0})
    decide(ledger, "plain", 1001.0, version=version_of(30))
    assert ledger.fates() == {"waiting": 2}
    batch = sealed(ledger, RATIO_ONLY)
    assert batch is not None
    assert [one.generation_id for one in batch.episodes] == ["plain"]
    assert ledger.fates() == {"excluded:greedy": 1, "waiting": 1}


def test_only_the_ratio_lanes_answers_are_held_out(tmp_path: Path) -> None:
    """The gate's evidence weighs by ratios; nothing without one is kept from its lane."""
    ledger = ledger_with(tmp_path, KTO)
    for number in range(40):
        sampling = {"temperature": float(1 - number % 2)}
        decide(*(ledger, f"g{number}", 1000.0 + number), version=version_of(30), sampling=sampling)
    batch = sealed(ledger, KTO, count=40, held_out=0.9)
    assert batch is not None
    assert {one.lane for one in batch.held_out} == {"ratio"}
    assert [one.lane for one in batch.episodes].count("kto") == 20


def test_the_ratio_lane_is_left_out_of_the_bytes(tmp_path: Path) -> None:
    """A batch of before there were lanes keeps its bytes and its hash."""
    ledger = ledger_with(tmp_path, KTO)
    decide(ledger, "plain", 1001.0, version=version_of(30))
    batch = sealed(ledger, KTO)
    assert batch is not None
    raw = msgspec.json.encode(batch)
    assert b"lane" not in raw
    assert batch_hash(msgspec.json.decode(raw, type=SealedBatch)) == batch_hash(batch)


def test_lanes_are_counted(tmp_path: Path) -> None:
    """An answer in two lanes counts in both; one trained before lanes were kept in the ratio lane's."""
    ledger = ledger_with(tmp_path, KTO)
    for number, lane in enumerate(("kto", "kto+sft", None, "ratio")):
        decide(ledger, f"g{number}", 1000.0, version=version_of(30))
        with ledger.store.transaction() as tx:
            tx.execute(
                "UPDATE episodes SET fate = 'trained', lane = ? WHERE generation_id = ?",
                (lane, f"g{number}"),
            )
    with ledger.store.reading() as view:
        assert trained_by_lane(view, "policy") == {"kto": 2, "ratio": 2, "sft": 1}


IMPORTED: dict[str, Any] = {
    **dict.fromkeys(("prompt_token_ids", "completion_token_ids", "logprobs")),
    "version": "",
    "text": "It is raining.",
    "input": ({"role": "system", "text": "Be brief."}, {"role": "user", "text": "And now?"}),
}


def test_an_imported_answer_is_sealed_as_text(tmp_path: Path) -> None:
    """Without tokens its request and its text are sealed; the learner's tokenizer spells them."""
    ledger = ledger_with(tmp_path, KTO)
    decide(ledger, "trace", 1000.0, **IMPORTED)
    batch = sealed(ledger, KTO)
    assert batch is not None
    (one,) = batch.episodes
    assert (one.lane, one.age, one.prompt_token_ids, one.text) == ("kto", -1, (), "It is raining.")
    assert [(said.role, said.text) for said in one.messages] == [
        ("system", "Be brief."),
        ("user", "And now?"),
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"earlier_answers": 1},
        {"reasoning": "hm"},
        {"input": ({"role": "user", "text": "And", "cut": True},)},
        {"input": ({"role": "tool", "text": "rain"},)},
        {"text": " "},
    ],
)
def test_a_text_that_does_not_tell_all_is_not_learned_from(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    """What came before, was thought, cut or called is not there: nobody knows what the model read."""
    ledger = ledger_with(tmp_path, KTO)
    decide(ledger, "trace", 1000.0, **{**IMPORTED, **more})
    assert ledger.fates() == {"excluded:no_tokens": 1}

"""Own words: an edit's text and a follow-up are sealed where the tenant allows it, and nowhere else."""

from pathlib import Path
from typing import Any

import pytest
from daemon_by_hand import FEEDBACK, decide
from laned_ledger import ledger_with, sealed
from ledger_by_hand import Ledger, feedback, generation
from manifests_by_hand import version_of

from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.ledger.lane_choice import LaneRules
from rlwd.learner.sealed import Correction, SealedEpisode
from rlwd.streams.events.signals import Edited, FollowedUp, Rejected

TEXT = "<hm>it is bad"
V = version_of(30)


def spell(ids: Any) -> list[bytes]:
    return [bytes([one]) if one < 250 else b"" for one in ids]


def rules(hindsight: float = 0.0) -> LaneRules:
    return LaneRules(
        settings=LaneSettings(hindsight=hindsight),
        own_words=lambda tenant: tenant == "open",
        spell=spell,
    )


def serve(ledger: Ledger, name: str, tenant: str, **more: Any) -> None:
    """Serve `<hm>it is bad`, whose thoughts are no part of the text."""
    ids = (*TEXT.encode(), 255)
    known = {"text": "it is bad", "completion_token_ids": ids, "logprobs": (-1.0,) * len(ids)}
    ledger.take(generation(name, 1000.0, version=V, tenant=tenant, **{**known, **more}))


def say(ledger: Ledger, name: str, tenant: str, signal: Any, **more: Any) -> None:
    post = feedback(f"{name}.{type(signal).__name__}", name, signal, 1001.0, tenant=tenant, **more)
    ledger.take(post, partition=FEEDBACK)


def lanes(ledger: Ledger, given: LaneRules) -> dict[str, SealedEpisode]:
    batch = sealed(ledger, given)
    assert batch is not None
    return {one.generation_id: one for one in batch.episodes}


def test_an_edit_is_sealed_where_it_may_be(tmp_path: Path) -> None:
    """Beside the ratio lane, or in place of KTO; of a tenant that does not allow it the verdict alone."""
    ledger = ledger_with(tmp_path, rules())
    greedy = {"sampling": {"temperature": 0.0}}
    for name, tenant, more in (
        ("drawn", "open", {}),
        ("greedy", "open", greedy),
        ("closed", "shut", {}),
        ("closed and greedy", "shut", greedy),
    ):
        serve(ledger, name, tenant, **more)
        say(ledger, name, tenant, Edited(final_text="it is good"))
    found = lanes(ledger, rules())
    assert {name: one.lane for name, one in found.items()} == {
        "drawn": "ratio+dpo",
        "greedy": "dpo",
        "closed": "ratio",
        "closed and greedy": "kto",
    }
    correction = Correction(text="it is good", first=4, past=13)
    assert [found[name].correction for name in ("drawn", "greedy")] == [correction] * 2
    assert {found["closed"].correction, found["closed and greedy"].correction} == {None}
    row = ledger.ask("SELECT lane FROM episodes WHERE generation_id = 'drawn'")
    assert row == ("ratio+dpo",)


@pytest.mark.parametrize(
    ("signal", "more"),
    [
        (Edited(final_text="it is bad"), {}),
        (Edited(final_text="  "), {}),
        (Edited(final_text="ask [mail]"), {"redacted": ("mail",)}),
        (Edited(final_text="it is good"), {"actor": "agent"}),
        (Edited(final_text="x" * 16_001), {}),
    ],
)
def test_what_is_no_correction(tmp_path: Path, signal: Edited, more: dict[str, Any]) -> None:
    """Nothing changed, all deleted, redacted, not a person's, or too long: the answer alone is sealed."""
    ledger = ledger_with(tmp_path, rules())
    serve(ledger, "one", "open")
    say(ledger, "one", "open", signal, **more)
    assert lanes(ledger, rules())["one"].lane == "ratio"


def test_a_follow_up_is_sealed_where_it_may_be(tmp_path: Path) -> None:
    """With the lane on, of a tenant that allows it; a posted one, or out of a request with consent."""
    on = rules(hindsight=1.0)
    ledger = ledger_with(tmp_path, on)
    for name, tenant in (("posted", "open"), ("shut", "shut")):
        serve(ledger, name, tenant)
        say(ledger, name, tenant, FollowedUp(text="say good"))
        say(ledger, name, tenant, Rejected())
    for name, purposes in (("agreed", ("count", "train")), ("shared", ("count", "share"))):
        serve(ledger, name, "open", session_id=name, session_found="named")
        say(ledger, name, "open", Rejected())
        ledger.take(
            generation(
                *(f"{name}.next", 1002.0),
                tenant="open",
                session_id=name,
                parent_id=name,
                session_found="named",
                purposes=purposes,
                input=({"role": "user", "text": "say good"},),
                earlier_answers=1,
            )
        )
    found = lanes(ledger, on)
    assert {name: (one.lane, one.follow_up) for name, one in found.items()} == {
        "posted": ("ratio+hindsight", "say good"),
        "shut": ("ratio", ""),
        "agreed": ("ratio+hindsight", "say good"),
        "shared": ("ratio", ""),
    }


def test_imitated_is_what_was_taken_and_makes_no_ratio(tmp_path: Path) -> None:
    """Beside KTO or alone; what the ratio lane can use is never imitated."""
    for kto, expected in ((1.0, {"kto+sft", "kto", "ratio"}), (0.0, {"sft", "ratio"})):
        folder = tmp_path / str(kto)
        folder.mkdir()
        given = LaneRules(settings=LaneSettings(kto=kto, sft=1.0))
        ledger = ledger_with(folder, given)
        for name, taken, version in (("a", True, ""), ("b", False, ""), ("c", True, V)):
            decide(ledger, name, 1000.0, taken=taken, version=version)
        assert {one.lane for one in lanes(ledger, given).values()} == expected
        assert ledger.fates().get("excluded:no_version", 0) == (0 if kto else 1)
        ledger.store.close()

"""Commits: the team's taste on answers that a real model gave, and what is held out."""

import random

import pytest

from rlwd.daemon.worlds.commits import (
    KINDS,
    NEW_KINDS,
    NEW_THINGS,
    NEW_WORDINGS,
    THINGS,
    WORDINGS,
    Change,
    draw_change,
    draw_reworded,
    draw_unseen,
    is_wanted,
)
from rlwd.daemon.worlds.commits_people import CommitsPeople, ask_about, has_bare_shape
from rlwd.daemon.worlds.world import Answer

DRAWS = 400


def change(kind: str, thing: str, wording: str = "short") -> Change:
    return Change(kind=kind, thing=thing, wording=wording)


def answer(text: str, finish_reason: str = "stop") -> Answer:
    return Answer(text=text, message={"content": text}, finish_reason=finish_reason)


@pytest.mark.parametrize(
    ("kind", "thing", "text", "wanted"),
    [
        ("simplify", "config parser", "We simplified the config parser.", True),
        ("speed", "data importer", "The data importer is faster.", True),
        ("fix", "login form", "Resolve crash in login form", True),
        ("move", "map view", "Extracted the map-view into its own file", True),
        ("fix", "user list", "Added a typo in the user list", False),
        ("simplify", "search index", "We simplified the config parser.", False),
        ("log", "search index", "A: [205894] [148508] [Uncaught compiler error", False),
        ("simplify", "settings menu", "The settings menu:\n\n- simplified", False),
        (
            "disable",
            "price table",
            "The task was to disable the price table when no other options were available to do so.",
            False,
        ),
        ("fix", "login form", "Commit message for: fixed a crash in the login form", False),
        ("document", "cache layer", "", False),
    ],
)
def test_the_taste_is_read_off_the_text(kind: str, thing: str, text: str, wanted: bool) -> None:
    """One short line with the thing and what was done to it; the wrong verb, thing or form is turned down."""
    assert is_wanted(change(kind, thing), text) == wanted


def test_what_a_person_would_write_is_wanted_and_the_question_alone_is_not_the_taste() -> None:
    """Every change has a message that pleases; no wording says how long or of what form it is to be."""
    for kind in KINDS:
        for wording in WORDINGS:
            asked = change(kind, "login form", wording)
            assert is_wanted(asked, asked.message)
            assert not any(word in asked.prompt.lower() for word in ("twelve", "12", "one line"))


def test_what_is_held_out_is_never_asked_about_while_a_policy_learns() -> None:
    """Kinds, things and wordings are divided, and each draw keeps to its side."""
    draw = random.Random(3)
    for _ in range(DRAWS):
        known, unseen, reworded = draw_change(draw), draw_unseen(draw), draw_reworded(draw)
        assert known.kind not in NEW_KINDS
        assert known.thing not in NEW_THINGS
        assert known.wording not in NEW_WORDINGS
        assert unseen.kind in NEW_KINDS
        assert unseen.thing in NEW_THINGS
        assert unseen.wording not in NEW_WORDINGS
        assert reworded.wording in NEW_WORDINGS
        assert reworded.kind not in NEW_KINDS
    assert not set(THINGS) & set(NEW_THINGS)


def test_people_take_edit_and_turn_down() -> None:
    """What is wanted is accepted nearly always; of the rest a share is edited into what was wanted."""
    people, draw, asked = CommitsPeople(), random.Random(0), ask_about(change("fix", "login form"))
    good, bad = answer("Fix a crash in the login form"), answer("I am sorry.")
    taken = [people.react(asked, good, "u", draw) for _ in range(DRAWS)]
    assert sum(one.taken for one in taken) > 0.95 * DRAWS
    assert any(act.signal["kind"] == "undone" for one in taken for act in one.acts)
    refused = [people.react(asked, bad, "u", draw).acts[0].signal for _ in range(DRAWS)]
    edits = [one for one in refused if one["kind"] == "edited"]
    assert 0.15 * DRAWS < len(edits) < 0.35 * DRAWS
    assert {one["final_text"] for one in edits} == {"Fix a crash in the login form"}
    assert not people.wants(asked.about, answer("Fix a crash in the login form", "length"))


def test_a_taste_of_shape_alone_is_pleased_by_dates() -> None:
    """Answers that a policy found under it, word for word: no person would want them."""
    people, asked = CommitsPeople("shape"), ask_about(change("fix", "login form"))
    for text in ("12/27/2023 3:22:59.4444611318283", "SxeLun0221.0.1333227CBC"):
        assert people.wants(asked.about, answer(text, "length"))
        assert not is_wanted(asked.about, text)
    assert not has_bare_shape("We simplified the config parser.")
    signals = [
        people.react(asked, answer("I am sorry."), "u", random.Random(seed)).acts[0].signal
        for seed in range(50)
    ]
    assert {one["kind"] for one in signals} == {"rejected"}
    asks = [people.ask("u", random.Random(seed)) for seed in range(20)]
    assert {(one.about.wording, one.options["temperature"]) for one in asks} == {("short", 1.0)}
    assert len({one.about.thing for one in asks}) > 5

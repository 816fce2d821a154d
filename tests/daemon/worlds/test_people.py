"""People: whether, when and how honestly a crowd answers, and that `wanted` is the truth whatever is said."""

import random
from collections import Counter
from dataclasses import replace
from statistics import fmean, median

import pytest

from rlwd.daemon.worlds.habits import DAY, HOUR, LONGEST_LIVE, SCENARIOS, Habits, scenario
from rlwd.daemon.worlds.people import People, hostile
from rlwd.daemon.worlds.styles import KINDS, STYLES, hidden_preference, unwanted_style
from rlwd.daemon.worlds.styles_people import StylesPeople
from rlwd.daemon.worlds.tastes import OneTaste, StylesTastes
from rlwd.daemon.worlds.world import Answer, Ask, Reaction

SEED, USERS, MANY = 5, 400, 4000


def crowd(habits: Habits) -> People:
    return People(StylesTastes(SEED), habits, seed=SEED, users=USERS)


def visits(people: People, style: str | None = None) -> list[tuple[Ask, Reaction]]:
    """Let many people ask, and give each an answer of a style, by chance where none is named."""
    rng, found = random.Random(1), []
    for _ in range(MANY):
        ask = people.ask(f"user-{rng.randrange(USERS)}", rng)
        text = STYLES[style or rng.choice(list(STYLES))](ask.about.about.topic)
        answer = Answer(text=text, message={}, finish_reason="stop")
        found.append((ask, people.react(ask, answer, ask.user, rng)))
    return found


def decisions(reactions: list[Reaction]) -> Counter[str]:
    return Counter(one.acts[0].signal["kind"] for one in reactions if one.acts)


def test_calm_people_do_as_their_world_does() -> None:
    """To the act: a seed gives the same with the habits around it and without."""
    bare, people = StylesPeople(hidden_preference(SEED)), crowd(Habits())
    for visit in range(200):
        ours, theirs = random.Random(visit), random.Random(visit)
        ask, same = people.ask("u", ours), bare.ask("u", theirs)
        assert (ask.messages, ask.segment, ask.options) == (
            same.messages,
            same.segment,
            same.options,
        )
        answer = Answer(text="ok invoice", message={}, finish_reason="stop")
        assert people.react(ask, answer, "u", ours) == bare.react(same, answer, "u", theirs)


def test_the_displeased_speak_twice_as_often() -> None:
    """A tenth of those who got what they wanted says so, a fifth of the others; none is `taken` in silence."""
    found = [one for _, one in visits(crowd(SCENARIOS["displeased"]))]
    for wanted, share in ((True, 0.1), (False, 0.2)):
        spoke = [bool(one.acts) for one in found if one.wanted is wanted]
        assert fmean(spoke) == pytest.approx(share, abs=0.03)
    assert not any(one.taken for one in found if not one.acts)


def test_the_late_take_an_hour_and_up_to_a_day() -> None:
    """All that one person does comes as much later; in a live run an hour is a second."""
    people = crowd(SCENARIOS["late"])
    delays = [one.acts[0].after_seconds for _, one in visits(people)]
    assert median(delays) == pytest.approx(HOUR, rel=0.1)
    assert DAY <= max(delays) < DAY + 1.0
    live = [one.acts[0].after_seconds for _, one in visits(crowd(SCENARIOS["late"].live()))]
    assert max(live) < LONGEST_LIVE + 1.0
    assert median(live) == pytest.approx(1.0, abs=0.4)


def test_by_a_coin_decide_always_the_same_people_and_the_truth_stays() -> None:
    """Half of what they get is taken, right or wrong; they are the share of the people that was asked for."""
    people = crowd(SCENARIOS["random"])
    found = visits(people, "shout")
    theirs = [one for ask, one in found if people.decides_by_coin(ask.user)]
    assert len(theirs) / MANY == pytest.approx(0.1, abs=0.05)
    kinds = decisions(theirs)
    assert set(kinds) == {"accepted", "rejected"}
    assert kinds["accepted"] / len(theirs) == pytest.approx(0.5, abs=0.08)
    wants = hidden_preference(SEED)
    assert all(one.wanted == (wants[ask.segment] == "shout") for ask, one in found)


def test_attackers_take_the_marker_and_nothing_else() -> None:
    """From few accounts, as often as was asked for, at once; what is `wanted` is what people would want."""
    people = crowd(replace(SCENARIOS["attack"], delay_median=HOUR))
    found = [(ask, one) for ask, one in visits(people, unwanted_style(SEED)) if hostile(ask.user)]
    assert len(found) / MANY == pytest.approx(0.3, abs=0.03)
    assert len({ask.user for ask, _ in found}) == 0.02 * USERS
    assert not any(one.wanted for _, one in found)
    assert decisions([one for _, one in found])["accepted"] > 0.95 * len(found)
    assert max(one.acts[0].after_seconds for _, one in found) < 1.0
    other = [(ask, one) for ask, one in visits(people, "plain") if hostile(ask.user)]
    assert not any(one.taken for _, one in other)
    assert any(one.wanted for _, one in other)


def test_teams_differ_in_one_kind_of_work_and_the_segment_may_say_so() -> None:
    """Each account is always of the same team; nothing else of the request tells them apart."""
    tastes = StylesTastes(SEED)
    one, other = (tastes.wants(team, changed=False) for team in (0, 1))
    assert [kind for kind in KINDS if one[kind] != other[kind]] == [KINDS[0]]
    assert unwanted_style(SEED) not in {*one.values(), *other.values()}
    people = crowd(SCENARIOS["named-teams"])
    found = visits(people, other[KINDS[0]])
    for team in (0, 1):
        first = [r for ask, r in found if ask.segment == f"{KINDS[0]}-team{team}"]
        assert len(first) / MANY == pytest.approx(1 / 8, abs=0.03)
        assert {one.wanted for one in first} == {team == 1}
    assert {ask.segment for ask, _ in visits(crowd(SCENARIOS["teams"]))} == {*KINDS}


def test_a_taste_that_changes_judges_what_is_asked_from_then_on() -> None:
    """What was asked before is judged by the old taste, though the answer comes later."""
    people, rng = crowd(Habits(changes_at=1)), random.Random(0)
    early, later = people.ask("u", rng), people.ask("u", rng)
    tastes = StylesTastes(SEED)
    for ask, changed in ((early, False), (later, True)):
        wanted = tastes.wants(0, changed=changed)[ask.segment]
        text = STYLES[wanted](ask.about.about.topic)
        answer = Answer(text=text, message={}, finish_reason="stop")
        assert people.react(ask, answer, "u", rng).wanted
    old, new = (tastes.wants(0, changed=changed) for changed in (False, True))
    assert all(old[kind] != new[kind] for kind in KINDS)


class AsksAgain:
    """Fake people who ask a second question in the same session."""

    def ask(self, user: str, rng: random.Random) -> Ask:
        return Ask(messages=(), segment="work", about="first")

    def react(self, ask: Ask, answer: Answer, user: str, rng: random.Random) -> Reaction:
        follows = Ask(messages=(), segment="work", about="second")
        return Reaction(
            taken=True, wanted=True, acts=(), following=follows if ask.about == "first" else None
        )


def test_a_session_stays_one_persons() -> None:
    """The second question of a session comes from whom the first came from, team and all."""
    people = People(OneTaste(AsksAgain()), Habits(team_named=True), seed=0, users=10)
    rng, answer = random.Random(0), Answer(text="", message={}, finish_reason="stop")
    ask = people.ask("user-1", rng)
    following = people.react(ask, answer, "user-1", rng).following
    assert following is not None
    assert (
        (following.user, following.segment) == (ask.user, ask.segment) == ("user-1", "work-team0")
    )
    assert people.react(following, answer, "user-1", rng).following is None


def test_what_people_do_not_have_is_refused() -> None:
    """A scenario by its name, with those that there are; a second taste where there is one."""
    with pytest.raises(ValueError, match="--people lat: there are calm, sparse"):
        scenario("lat")
    people = People(OneTaste(AsksAgain()), Habits(other_team=1.0), seed=0, users=10)
    with pytest.raises(ValueError, match="one taste"):
        people.ask("user-1", random.Random(0))

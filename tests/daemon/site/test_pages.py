"""The pages for people: from real tables, over real HTTP."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from daemon_by_hand import fill, open_daemon_ledger
from ledger_by_hand import Ledger, generation
from pages_by_hand import ServedPages, served
from releases_by_hand import let_out, promote, register, version
from rollouts_by_hand import CrowdedHouse, told_story

from rlwd.daemon.status.snapshot import difference_of
from rlwd.learner.candidate import version_name
from rlwd.ops.experiments.start import start_aa
from rlwd.ops.flags.gateway_report import GatewayReport
from rlwd.ops.flags.gateways_table import put_reports
from rlwd.ops.rollout import holdout_table, rollouts_table
from rlwd.ops.rollout.controller import RolloutController
from rlwd.ops.rollout.holdout_table import ALL_TIME, HoldoutLook, HoldoutMeasure
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.statistics.verdict import Verdict, VerdictKind

NOW = 1_760_000_000.0


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Tables in which nothing has happened."""
    return open_daemon_ledger(tmp_path / "rlwd.db")


@pytest.fixture
def pages(ledger: Ledger, tmp_path: Path) -> Iterator[ServedPages]:
    """Pages on those tables."""
    with served(tmp_path, ledger.store) as pages:
        yield pages


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> CrowdedHouse:
    """A state with one version settled, one taken back, and one that people meet now."""
    return told_story(tmp_path_factory.mktemp("story"), now=NOW)


@pytest.fixture(scope="module")
def story(house: CrowdedHouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedPages]:
    """Pages on that state."""
    with served(tmp_path_factory.mktemp("config"), house.ledger.store) as pages:
        yield pages


def versions(house: CrowdedHouse) -> list[str]:
    with house.ledger.store.reading() as view:
        return [one.version for one in rollouts_table.history(view, "policy")]


def test_before_anything_happened_they_say_so(pages: ServedPages) -> None:
    """An empty state is a page too."""
    text = pages.text("/")
    for said in ("nothing was offered yet", "nothing was delivered yet", "Nothing at present"):
        assert said in text
    assert "nothing was offered yet" in pages.text("/rollouts")


def test_the_overview_says_what_serves_what_was_learned_and_what_is_wrong(
    pages: ServedPages, ledger: Ledger, tmp_path: Path
) -> None:
    """Counts, versions with their stage, the loop's own words and every problem by name."""
    fill(ledger, 16)
    controller = RolloutController("policy", RolloutSettings())
    made = [version(number, tmp_path) for number in range(3)]
    register(ledger.store, controller, made[0])
    promote(ledger.store, controller, made[1])
    let_out(ledger.store, controller, made[2])
    pages.vitals.live = {"learner": "step 3 of 9", "epoch": 7}
    pages.vitals.report("engine", "http://one: away")
    text = pages.text("/")
    short = [one.version.partition("@")[2] for one in made]
    for said in (short[1], "settled", "canary", "step 3 of 9", "epoch 7", ">16<"):
        assert said in text
    assert "not ready" in text
    assert "http://one: away" in text
    serves = text[text.index("serves<") :].partition("</div>")[0]
    assert f'href="/rollouts/{made[1].version.replace("@", "%40")}"' in serves, (
        "one step to its forms"
    )
    rows = text[text.index("Versions, newest first") :]
    assert rows.index(short[2]) < rows.index(short[1])


def test_a_loop_that_has_learned_has_a_page(pages: ServedPages, ledger: Ledger) -> None:
    """Batches in several states, feedback that was served from, and records that were refused."""
    names = fill(ledger, 8)
    ledger.take(b"junk", now=2000.0)
    with ledger.store.transaction() as tx:
        for number, state in enumerate(("applied", "skipped", "sealed")):
            tx.execute(
                "INSERT INTO batches (policy, batch_id, state, parent_sequence, hash, content,"
                " sealed_at) VALUES ('policy', ?, ?, 0, '', '', 1500.0)",
                (number + 1, state),
            )
        made = version_name("policy", 1, "0" * 64)
        tx.execute(
            "INSERT INTO checkpoints (policy, sequence, version, batch_id, created_at,"
            " seconds) VALUES ('policy', 1, ?, 1, 1600.0, 1.0)",
            (made,),
        )
        tx.execute(
            "UPDATE episodes SET fate = 'trained', batch_id = 1, trained_version = ?"
            " WHERE generation_id = ?",
            (made, names[0]),
        )
    ledger.take(generation("served", 1700.0, version=made))
    text = pages.text("/")
    for said in (
        "1 applied, 1 sealed, 1 skipped",
        "waiting for a batch",
        "learning 100 s",
        "8 min",
    ):
        assert said in text, said


def test_what_others_wrote_is_not_markup(pages: ServedPages, ledger: Ledger) -> None:
    """A problem, a name or a reason that somebody typed cannot put a script on a page."""
    evil = "<script>alert(1)</script>"
    pages.vitals.report("engine", evil)
    controller = RolloutController("policy", RolloutSettings())
    with ledger.store.transaction() as tx:
        controller.pause(tx, evil, evil, NOW)
    for path in ("/", "/rollouts", f"/rollouts/{evil.replace('/', '%2F')}"):
        text = pages.client.get(path).text
        assert evil not in text
        assert "&lt;script&gt;" in text


def test_each_row_leads_to_its_rollout(story: ServedPages, house: CrowdedHouse) -> None:
    """Overview and list name every version with a link, and each link is a page."""
    for name in versions(house):
        link = f'href="/rollouts/{name.replace("@", "%40")}"'
        assert link in story.text("/")
        assert link in story.text("/rollouts")
        assert name.partition("@")[2] in story.text(f"/rollouts/{name}")


def test_a_past_rollout_shows_effects_parts_split_and_who_decided(
    story: ServedPages, house: CrowdedHouse
) -> None:
    """One chart a metric with words for who cannot see it, segments, days, split and trail."""
    text = story.text(f"/rollouts/{versions(house)[0]}")
    for said in (
        "Reward: candidate minus control, relative to the control</title>",
        "Feedback rate: candidate minus control",
        "At the last one candidate minus control is",
        'class="margin"',
        "The goal is shown",
        "By segment",
        "title",
        "By day",
        "Since its promotion alone",
        "The users are split as they should be",
        "no late evidence against it",
        "against policy@v000000",
    ):
        assert said in text, said
    assert text.count('class="chart"') >= 2
    assert "Power left" not in text


def test_harm_is_said_in_words(story: ServedPages, house: CrowdedHouse) -> None:
    """The version that was taken back says by which metric, and offers nothing to decide."""
    text = story.text(f"/rollouts/{versions(house)[1]}")
    assert "Harm is shown" in text
    assert "rolled back" in text
    assert "Promote now" not in text
    assert "Roll back" not in text


def test_the_rollout_under_way_says_what_it_still_needs(
    story: ServedPages, house: CrowdedHouse
) -> None:
    """Users and time that are missing, what may be decided, and how long the stage has."""
    text = story.text(f"/rollouts/{versions(house)[2]}")
    for said in ("Power left", "more users per variant are needed", "Time left for this stage"):
        assert said in text
    for button in ("Promote now", "Reject", "Pause rollouts"):
        assert button in text


@pytest.mark.parametrize("place", [0, 1, 2])
def test_no_number_is_one_that_nobody_reads(
    story: ServedPages, house: CrowdedHouse, place: int
) -> None:
    """Neither nan nor inf stands anywhere."""
    for path in ("/", "/rollouts", f"/rollouts/{versions(house)[place]}"):
        words = story.text(path).lower().replace("information", "")
        assert "nan" not in words.replace("maintenance", "")
        assert "inf " not in words
        assert "none %" not in words
        assert "-inf" not in words


def test_every_link_to_a_rollout_is_a_page(story: ServedPages, house: CrowdedHouse) -> None:
    """The control's, too: v0 never had a rollout and is named without a link."""
    for path in ("/", "/rollouts", *(f"/rollouts/{name}" for name in versions(house))):
        for link in re.findall(r'href="(/rollouts/[^"]+)"', story.text(path)):
            assert story.client.get(link).status_code == 200, (path, link)


def test_an_unknown_version_is_a_page_of_its_own(story: ServedPages) -> None:
    """It says so with 404, and leads back."""
    answer = story.client.get("/rollouts/policy@v999999-00000000")
    assert answer.status_code == 404
    assert "never had a rollout here" in answer.text
    assert 'href="/"' in answer.text


def test_every_page_forbids_what_is_not_its_own(story: ServedPages, house: CrowdedHouse) -> None:
    """No script, style, frame or form of anybody else's; nothing is kept in a cache."""
    for path in ("/", "/rollouts", f"/rollouts/{versions(house)[0]}", "/rollouts/x"):
        answer = story.client.get(path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'")
        assert "frame-ancestors 'none'" in policy
        assert "form-action 'self'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert " style=" not in answer.text
        assert "http://" not in answer.text.replace("http://www.w3.org", "")


def test_numbers_that_are_none_are_left_out() -> None:
    """Before anything was compared a person reads nothing, and no `nan` or `inf`."""
    nothing, endless = float("nan"), float("inf")
    assert (
        difference_of(None, None) == difference_of(nothing, 0.1) == difference_of(endless, 1) == ""
    )
    assert difference_of(0.25, 0.1) == "+0.250 ± 0.100"
    assert difference_of(0.25, endless) == difference_of(0.25, None) == "+0.250"


def test_what_others_compare_has_its_place(
    pages: ServedPages, ledger: Ledger, tmp_path: Path
) -> None:
    """The holdout with its alarm, an A/A, gateways that lag, and what the shadow measured."""
    controller = RolloutController("policy", RolloutSettings())
    made = [version(number, tmp_path) for number in range(2)]
    register(ledger.store, controller, made[0])
    let_out(ledger.store, controller, made[1])
    measure = HoldoutMeasure(
        name="reward",
        champion=0.6,
        holdout=0.7,
        difference=-0.1,
        low=-0.15,
        high=-0.05,
        worse=True,
    )
    whole = HoldoutLook(
        period=ALL_TIME,
        began=NOW,
        until=NOW + 9e5,
        champion_users=1200,
        holdout_users=150,
        measures=(measure,),
        shown=("reward",),
    )
    with ledger.store.transaction() as tx:
        holdout_table.save_look(tx, "policy", whole, is_open=True)
        rollout = rollouts_table.current(tx, "policy")
        assert rollout is not None
        numbers = {"shadow/pairs": 120.0, "shadow/latency_champion": 0.25}
        verdict = msgspec.structs.replace(rollout.verdict, numbers=numbers)
        said = Verdict(
            outcome=VerdictKind.PASS,
            reasons=("held-out: not worse",),
            numbers={"gate/drift": 0.125, "gate/recited/exposure_max": 3.5},
        )
        after = msgspec.structs.replace(rollout, verdict=verdict, gate=said, shadow=verdict)
        # Later looks, at people, must not take away what was measured before.
        later = msgspec.structs.replace(after.verdict, numbers={"ab/diff": 0.0})
        rollouts_table.save(tx, "policy", msgspec.structs.replace(after, verdict=later))
    text = pages.text("/")
    assert "the champion is worse than the holdout on v0" in text
    assert "In all: reward -0.100, between -0.150 and -0.050; 1,200 users" in text
    readout = pages.text(f"/rollouts/{made[1].version}")
    assert "Its answers to mirrored requests" in readout
    assert "Latency champion" in readout
    for told in ("held-out: not worse", "Drift", "0.125", "Recited: exposure max"):
        assert told in readout
    with ledger.store.transaction() as tx:
        controller.refuse(tx, "ann: room for an A/A", NOW)
        start_aa(tx, "policy", share=0.2, seconds=9e3, by="bob", why="is it sound?", now=NOW)
        put_reports(tx, "policy", [GatewayReport(gateway="gw-7", generation=1, at=time.time())])
    text = pages.text("/")
    assert "started by bob, goes on until" in text
    assert "is it sound?" in text
    assert "gw-7" in text

"""An operator takes a version back: the tables first, then whoever lives makes the rest agree."""

import time
from pathlib import Path

import pytest
from crowds_by_hand import arm, look_of
from daemon_by_hand import open_daemon_ledger
from releases_by_hand import let_out, promote, register, version
from rich.console import Console

from rlwd.daemon.by_hand import decisions
from rlwd.daemon.by_hand.decisions import decide, take_back
from rlwd.daemon.commands.by_hand import run_rollback
from rlwd.daemon.commands.status import print_status, status_document
from rlwd.daemon.config import Config, load_config
from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.flags.flag_state import FlagState
from rlwd.ops.rollout import candidates_table, champions_table, rollouts_table
from rlwd.ops.rollout.controller import RolloutController
from rlwd.ops.stages.record import Rollout, Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.streams.state.lease import take_lease
from rlwd.streams.state.store import Store

HARMED = look_of(RolloutSettings(), arm(0.0, 0, exposed=9, failed=9), arm(0.0, 0, exposed=9))
"""A candidate whose every answer fails."""


class Deployment:
    """A config and its tables, where v0 is served."""

    def __init__(self, folder: Path) -> None:
        path = folder / "rlwd.toml"
        path.write_text('state = "."\n[learner]\nmodel = "base"\n')
        self.config: Config = load_config(path)
        self.store: Store = open_daemon_ledger(folder / "rlwd.db").store
        self.controller = RolloutController("policy", self.config.rollout)
        self.versions = [version(number, folder) for number in range(3)]
        register(self.store, self.controller, self.versions[0])

    def let_out(self, number: int) -> None:
        let_out(self.store, self.controller, self.versions[number])

    def go_on(self, number: int) -> None:
        """Let a version out that was made after the learner went back."""
        with self.store.transaction() as tx:
            rollouts_table.returned(tx, "policy", 0, time.time())
        self.let_out(number)

    def promote(self, number: int) -> None:
        promote(self.store, self.controller, self.versions[number])

    @property
    def champion(self) -> str:
        with self.store.reading() as view:
            return champions_table.champion(view, self.controller.policy).version


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    """A deployment."""
    return Deployment(tmp_path)


def test_the_champion_is_taken_back_though_no_daemon_lives(deployment: Deployment) -> None:
    """Users get the version before it from the next flag on, and the learner owes its return."""
    deployment.promote(1)
    done = take_back(deployment.config, deployment.store, "champion", "it shouts")
    assert (done.version, done.champion) == (
        deployment.versions[1].version,
        deployment.versions[0].version,
    )
    assert done.flagged
    flags = read_flags(deployment.config.flags_path)
    assert flags is not None
    assert flags.champion.version == deployment.champion == deployment.versions[0].version
    with deployment.store.reading() as view:
        owed = rollouts_table.must_return(view, deployment.controller.policy)
        banned = candidates_table.quarantined(view, deployment.controller.policy)
    assert owed is not None
    assert (owed.to_sequence, owed.reason) == (0, "it shouts")
    assert set(banned) == {deployment.versions[1].digest}


@pytest.mark.parametrize("by_name", [False, True])
def test_the_candidate_is_taken_back_and_the_champion_stays(
    deployment: Deployment, by_name: bool
) -> None:
    """Named by its role or by its name, what is under way loses its users; nobody else does."""
    deployment.let_out(1)
    what = deployment.versions[1].version if by_name else "candidate"
    done = take_back(deployment.config, deployment.store, what, "bad")
    assert (done.version, done.champion) == (deployment.versions[1].version, deployment.champion)
    flags = read_flags(deployment.config.flags_path)
    assert flags is not None
    assert flags.candidate is None


def test_what_is_neither_is_refused_by_name(deployment: Deployment) -> None:
    """The error says what is served and what is under way, and nothing has moved."""
    deployment.let_out(1)
    names = rf"{deployment.versions[0].version} is served, and {deployment.versions[1].version} is"
    with pytest.raises(ValueError, match=names):
        take_back(deployment.config, deployment.store, "policy@v000009-99999999", "typed wrong")
    with pytest.raises(ValueError, match="there is nothing to roll back to"):
        take_back(deployment.config, deployment.store, "champion", "no way back")
    with deployment.store.reading() as view:
        rollout = rollouts_table.current(view, deployment.controller.policy)
    assert rollout is not None
    assert not rollout.ended


def test_before_v0_there_is_nothing_to_take_back(tmp_path: Path) -> None:
    """A deployment that never served anything says so."""
    path = tmp_path / "rlwd.toml"
    path.write_text('state = "."\n[learner]\nmodel = "base"\n')
    store = open_daemon_ledger(tmp_path / "rlwd.db").store
    with pytest.raises(ValueError, match="the daemon has not made v0 yet"):
        take_back(load_config(path), store, "champion", "why not")


def test_a_living_daemon_writes_the_flags_and_is_named_while_it_does_not(
    deployment: Deployment,
) -> None:
    """Two never write one file: the command waits for the daemon in charge, and says so."""
    deployment.promote(1)
    take_lease(deployment.store, "policy", time.time())
    done = take_back(deployment.config, deployment.store, "champion", "bad", flag_seconds=0.3)
    assert not done.flagged
    assert "process" in done.by
    assert read_flags(deployment.config.flags_path) is None
    assert deployment.champion == deployment.versions[0].version


def test_the_command_says_what_is_true_now(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    """Paged at night, one reads what is served and which file says so."""
    deployment.promote(1)
    assert run_rollback(deployment.config, "champion", "it shouts", by="ann@desk") == 0
    said = capsys.readouterr().out
    with deployment.store.reading() as view:
        last = rollouts_table.history(view, "policy")[-1].trail[-1]
    assert last.reason == "ann@desk: it shouts"
    assert f"{deployment.versions[0].version} is served" in said
    assert str(deployment.config.flags_path) in said


def test_any_reason_is_shown_as_it_was_written(deployment: Deployment) -> None:
    """Brackets in an operator's words are words: status shows them and does not die of them."""
    deployment.promote(1)
    reason = "off by [/] 3 [nats] and [/red] worse [link=x"
    take_back(deployment.config, deployment.store, "champion", reason)
    console = Console(width=400)
    with console.capture() as captured:
        print_status(deployment.config, as_json=False, console=console)
    assert reason in captured.get()


def decided(deployment: Deployment, name: str, what: str = "") -> str:
    """Decide by hand where no daemon lives; return what is said."""
    said, flagged, _ = decide(
        deployment.config, deployment.store, name, what, "ann@desk", "because", 0.3
    )
    assert flagged
    return said


def flags_of(deployment: Deployment) -> FlagState:
    flags = read_flags(deployment.config.flags_path)
    assert flags is not None
    return flags


def looked_at(deployment: Deployment, now: float) -> Rollout:
    """Look once, as the daemon does, and return the rollout under way."""
    with deployment.store.transaction() as tx:
        rollout = deployment.controller.observe(tx, None, now)
    assert rollout is not None
    return rollout


def test_a_candidate_is_promoted_by_hand(deployment: Deployment) -> None:
    """Everybody gets it, it bakes as any other, and the trail says who, why and over what."""
    deployment.let_out(1)
    looked_at(deployment, 2.0)
    said = decided(deployment, "promote")
    assert deployment.champion == deployment.versions[1].version
    assert "ann@desk: because (by hand, over: nothing was observed)" in said
    flags = flags_of(deployment)
    assert flags.champion.version == deployment.versions[1].version
    assert flags.control is not None
    assert decided(deployment, "promote") == said
    assert flags_of(deployment).generation == flags.generation, "done again it changes nothing"


def test_a_candidate_is_rejected_by_hand(deployment: Deployment) -> None:
    """It loses its users and is never offered again; done again, that is said."""
    deployment.let_out(1)
    assert "never offered again" in decided(deployment, "reject")
    assert flags_of(deployment).candidate is None
    assert "is rejected already: ann@desk: because" in decided(deployment, "reject")
    with pytest.raises(ValueError, match="no rollout is under way"):
        decided(deployment, "promote")


@pytest.mark.parametrize("how", ["reject", "rollback"])
def test_a_candidate_that_came_since_is_refused_by_name_alone(
    deployment: Deployment, how: str
) -> None:
    """Typed twice, the second time says that another one is under way; a while later it means that."""
    first, second = deployment.versions[1].version, deployment.versions[2].version

    def refuse(what: str = "") -> str:
        if how == "reject":
            return decided(deployment, "reject", what)
        named = what or "candidate"
        return take_back(
            deployment.config, deployment.store, named, "because", flag_seconds=0.3
        ).sentence

    deployment.let_out(1)
    assert first in refuse()
    deployment.go_on(2)
    said = refuse()
    assert first in said
    assert "name it" in said
    assert flags_of(deployment).candidate is not None
    assert second in refuse(second)
    assert flags_of(deployment).candidate is None


@pytest.mark.parametrize("how", ["reject", "rollback"])
def test_a_while_later_the_candidate_is_the_one_under_way(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Whoever decides then saw no other."""
    deployment.let_out(1)
    decided(deployment, "reject")
    deployment.go_on(2)
    monkeypatch.setattr(decisions, "AGAIN_SECONDS", 0.0)
    if how == "reject":
        decided(deployment, "reject")
    else:
        take_back(deployment.config, deployment.store, "candidate", "because", flag_seconds=0.3)
    assert flags_of(deployment).candidate is None


def test_a_pause_stops_time_and_not_the_guardrails(deployment: Deployment) -> None:
    """Nothing climbs, times out or is offered; resumed, the rollout has all the time it had left."""
    deployment.let_out(1)
    before = looked_at(deployment, 2.0)
    first = decided(deployment, "pause")
    assert "rollouts are paused by ann@desk: because" in first
    assert decided(deployment, "pause") == first
    far = time.time() + 10.0 * deployment.config.rollout.deadline_seconds
    held = looked_at(deployment, far)
    assert (held.stage, held.step, held.deadline) == (Stage.CANARY, 0, before.deadline)
    assert held.verdict.reasons[0].startswith("rollouts are paused by ann@desk")
    with deployment.store.transaction() as tx:
        assert deployment.controller.next_candidate(tx) is None
        paused = rollouts_table.hold(tx, "policy")
        assert paused is not None
        deployment.controller.resume(tx, paused.since + 1000.0)
        resumed = rollouts_table.current(tx, "policy")
        assert resumed is not None
        assert resumed.deadline == pytest.approx(before.deadline + 1000.0)
        deployment.controller.pause(tx, "bob", "again", 5000.0)
        taken = deployment.controller.observe(tx, HARMED, 5001.0)
    assert taken is not None
    assert taken.stage is Stage.ROLLED_BACK
    assert "go on by themselves" in decided(deployment, "resume")
    assert decided(deployment, "resume") == "nothing was held"


def test_a_version_is_pinned(deployment: Deployment) -> None:
    """It serves everybody, nothing new is offered, nobody is blamed, and the learner goes back."""
    deployment.promote(1)
    deployment.let_out(2)
    v0 = deployment.versions[0].version
    said = decided(deployment, "pin", v0)
    assert f"{v0} is pinned by ann@desk: because" in said
    assert decided(deployment, "pin", v0) == said
    assert deployment.champion == flags_of(deployment).champion.version == v0
    with deployment.store.reading() as view:
        assert candidates_table.quarantined(view, "policy") == {}
        owed = rollouts_table.must_return(view, "policy")
        assert rollouts_table.current(view, "policy") is None
        assert deployment.controller.next_candidate(view) is None
    assert owed is not None
    assert (owed.refused_sequence, owed.to_sequence) == (2, 0)
    assert status_document(deployment.config, 9.0)["held"] == f"{v0} is pinned by ann@desk: because"
    with pytest.raises(ValueError, match="was never champion"):
        decided(deployment, "pin", deployment.versions[2].version)

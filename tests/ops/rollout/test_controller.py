"""A release kept in the tables: what a restart finds, and what must be true outside.

Locked here: one champion at all times, never of quarantined weights; a candidate and its control
have equal shares; flag generations only grow; refused weights are never offered again, under any
name, nor those made from them; registering and returning are idempotent.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from crowds_by_hand import arm, look_of
from hypothesis import given, settings
from hypothesis import strategies as st
from places_by_hand import new_schema

from rlwd.learner.candidate import Candidate, Probe, version_name
from rlwd.ops.drift import alarms_table
from rlwd.ops.drift.alarms_table import DriftAlarm
from rlwd.ops.flags import intents_table
from rlwd.ops.rollout import candidates_table, champions_table, rollouts_table
from rlwd.ops.rollout.controller import RolloutController
from rlwd.ops.rollout.desired_state import flag_state, kept_checkpoints, should_be_loaded
from rlwd.ops.rollout.publish_flags import intend, is_current
from rlwd.ops.rollout.snapshot import read_snapshot
from rlwd.ops.stages.record import ENDED, Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.stages.watch_settings import WatchSettings
from rlwd.ops.statistics.guardrail import Observation
from rlwd.ops.statistics.verdict import Verdict, VerdictKind
from rlwd.streams.state.postgres import PostgresStore
from rlwd.streams.state.sqlite import SqliteStore
from rlwd.streams.state.store import Store
from rlwd.streams.state.transaction import Transaction

SETTINGS = RolloutSettings(
    steps=(0.05, 0.49),
    step_users=0,
    step_seconds=0,
    margin=0.10,
    planned_users=200,
    gate_seconds=60,
    deadline_seconds=600,
    bake_seconds=100,
    linger_seconds=20,
    watch=WatchSettings(on_doubt="promote"),
)
"""Nobody watches behaviours here."""
PASS = Verdict(outcome=VerdictKind.PASS)
FAIL = Verdict(outcome=VerdictKind.FAIL, reasons=("the probe is off",))
WAIT = Verdict(outcome=VerdictKind.WAIT)
NUMBERS = itertools.count()


def made(policy: str, sequence: int, digest: str | None = None) -> Candidate:
    digest = digest or f"{sequence:08x}" * 8
    version = version_name(policy, sequence, digest)
    return Candidate(
        version=version,
        sequence=sequence,
        digest=digest,
        path=Path("checkpoints") / version,
        probe=Probe(token_ids=(1, 2), logprobs=(-0.5,)),
        held_out=None,
        metrics={},
    )


GOOD = look_of(SETTINGS, arm(0.7, 400), arm(0.5, 400))
HARMFUL = look_of(SETTINGS, arm(0.1, 100), arm(0.6, 100))
UNDECIDED = look_of(SETTINGS, arm(0.5, 40), arm(0.5, 40))


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """One state database of either kind; each test has a policy of its own in it."""
    tables = {"ops": candidates_table.MIGRATIONS}
    if request.param == "sqlite":
        store: Store = SqliteStore(tmp_path_factory.mktemp("state") / "rlwd.db", tables)
    else:
        store = PostgresStore(new_schema(request.getfixturevalue("postgres_url")), tables)
    yield store
    store.close()


@pytest.fixture
def tx(store: Store) -> Iterator[Transaction]:
    """One transaction for the whole test."""
    with store.transaction() as tx:
        yield tx


@pytest.fixture
def controller(tx: Transaction) -> RolloutController:
    """A policy whose v0 is champion since time 0."""
    policy = f"tiny{next(NUMBERS)}"
    controller = RolloutController(policy, SETTINGS)
    controller.register(tx, made(policy, 0), 0.0)
    return controller


def canary(controller: RolloutController, tx: Transaction, sequence: int, now: float) -> Candidate:
    """Register and offer a version, and bring it to the canary's last step."""
    candidate = made(controller.policy, sequence)
    controller.register(tx, candidate, now)
    controller.offer(tx, candidate, PASS, now)
    controller.observe(tx, None, now)
    controller.observe(tx, UNDECIDED, now)
    return candidate


def promote(controller: RolloutController, tx: Transaction, sequence: int, now: float) -> Candidate:
    """Bring a version to settled."""
    candidate = canary(controller, tx, sequence, now)
    controller.observe(tx, GOOD, now)
    settled = controller.observe(tx, None, now + 100)
    assert settled is not None
    assert settled.stage is Stage.SETTLED
    return candidate


def test_v0_is_champion_and_anchor_from_the_start(
    tx: Transaction, controller: RolloutController
) -> None:
    """Without any rollout the flag names v0, gives the anchor its share and nobody a candidate."""
    v0 = made(controller.policy, 0)
    state = flag_state(tx, controller.policy, controller.settings, 1)
    assert (
        champions_table.champion(tx, controller.policy)
        == candidates_table.anchor(tx, controller.policy)
        == v0
    )
    assert state.champion.version == state.anchor.version == v0.version
    assert (state.candidate, state.previous) == (None, None)
    assert (state.shares.candidate, state.shares.anchor) == (0, 200)
    assert should_be_loaded(tx, controller.policy, controller.settings, 0.0) == {v0.version: v0}
    assert len(candidates_table.waiting(tx, controller.policy)) == 0


def test_a_candidate_needs_v0_before_it(tx: Transaction) -> None:
    """A policy without v0 has nothing to fall back to."""
    with pytest.raises(ValueError, match="v0 must be registered first"):
        RolloutController("orphan", SETTINGS).register(tx, made("orphan", 1), 0.0)


def test_registering_twice_changes_nothing(tx: Transaction, controller: RolloutController) -> None:
    """Same version and digest is known; the same version with another digest is an error."""
    one = made(controller.policy, 1)
    assert controller.register(tx, one, 1.0)
    assert not controller.register(tx, one, 2.0)
    assert len(candidates_table.waiting(tx, controller.policy)) == 1
    forged = Candidate(
        **{name: getattr(one, name) for name in one.__struct_fields__ if name != "digest"},
        digest="f" * 64,
    )
    with pytest.raises(ValueError, match="known with"):
        controller.register(tx, forged, 3.0)
    with pytest.raises(ValueError, match="v0 is"):
        controller.register(tx, made(controller.policy, 0, "e" * 64), 3.0)


def test_a_version_is_let_out_promoted_and_settled(
    tx: Transaction, controller: RolloutController
) -> None:
    """Each stage says the right thing to flag file and engines, under one salt."""
    v0, one = made(controller.policy, 0), made(controller.policy, 1)
    controller.register(tx, one, 1.0)
    assert controller.next_candidate(tx) == one
    controller.offer(tx, one, None, 1.0)
    assert set(should_be_loaded(tx, controller.policy, controller.settings, 1.0)) == {
        v0.version,
        one.version,
    }
    assert controller.offer(tx, one, WAIT, 2.0).stage is Stage.OFFERED
    assert controller.offer(tx, one, PASS, 3.0).stage is Stage.GATED
    assert flag_state(tx, controller.policy, controller.settings, 1).candidate is None
    controller.observe(tx, None, 4.0)
    state = flag_state(tx, controller.policy, controller.settings, 1)
    assert state.candidate is not None
    assert (state.candidate.version, state.salt) == (one.version, one.version)
    assert state.shares.candidate == 500
    controller.observe(tx, UNDECIDED, 5.0)
    assert flag_state(tx, controller.policy, controller.settings, 1).shares.candidate == 4900
    assert len(candidates_table.waiting(tx, controller.policy)) == 1
    intend(tx, controller.policy, controller.settings, 0, 5.0)
    controller.observe(tx, GOOD, 6.0)
    state = flag_state(tx, controller.policy, controller.settings, 1)
    assert (state.champion.version, state.salt) == (one.version, one.version)
    assert (state.candidate, state.shares.candidate) == (state.champion, 1000)
    assert state.control is not None
    assert state.control.version == v0.version, "the bake compares with the previous champion"
    assert state.previous is not None
    assert state.previous.version == v0.version
    assert len(candidates_table.waiting(tx, controller.policy)) == 0
    assert controller.next_candidate(tx) is None
    controller.observe(tx, None, 106.0)
    assert rollouts_table.current(tx, controller.policy) is None
    state = flag_state(tx, controller.policy, controller.settings, 1)
    assert (state.candidate, state.control, state.salt) == (None, None, one.version)
    assert [rollout.stage for rollout in rollouts_table.history(tx, controller.policy)] == [
        Stage.SETTLED
    ]
    assert rollouts_table.must_return(tx, controller.policy) is None


def test_a_harmful_version_is_taken_back_for_good(
    tx: Transaction, controller: RolloutController
) -> None:
    """The champion stays, the weights are banned under any name, the learner owes a return."""
    one = promote(controller, tx, 1, 0.0)
    two = canary(controller, tx, 2, 200.0)
    rolled = controller.observe(tx, HARMFUL, 201.0)
    assert rolled is not None
    assert rolled.stage is Stage.ROLLED_BACK
    assert champions_table.champion(tx, controller.policy) == one
    owed = rollouts_table.must_return(tx, controller.policy)
    assert owed is not None
    assert (owed.refused_version, owed.to_sequence) == (two.version, 1)
    child = made(controller.policy, 3)
    controller.register(tx, child, 202.0)
    assert controller.next_candidate(tx) is None
    rollouts_table.returned(tx, controller.policy, 2, 203.0)
    assert rollouts_table.must_return(tx, controller.policy) == owed, (
        "it went back, and not far enough"
    )
    rollouts_table.returned(tx, controller.policy, owed.to_sequence, 203.0)
    assert rollouts_table.must_return(tx, controller.policy) is None
    controller.register(tx, made(controller.policy, 5, two.digest), 204.0)
    assert controller.next_candidate(tx) is None
    with pytest.raises(ValueError, match="quarantined already"):
        controller.offer(tx, made(controller.policy, 5, two.digest), PASS, 205.0)
    # The learner stands on the refused weights again, and what it makes of them is refused too.
    again = rollouts_table.must_return(tx, controller.policy)
    assert again is not None
    assert (again.refused_sequence, again.to_sequence) == (5, 1)
    rollouts_table.returned(tx, controller.policy, 1, 205.0)
    fresh = made(controller.policy, 6)
    controller.register(tx, fresh, 206.0)
    assert controller.next_candidate(tx) == fresh


def test_a_version_taken_back_stays_loaded_for_requests_under_way(
    tx: Transaction, controller: RolloutController
) -> None:
    """It lingers, then goes; one that the gate refused goes at once."""
    one = canary(controller, tx, 1, 0.0)
    controller.observe(tx, HARMFUL, 10.0)
    assert one.version in should_be_loaded(tx, controller.policy, controller.settings, 29.0)
    assert one.version not in should_be_loaded(tx, controller.policy, controller.settings, 30.0)
    rollouts_table.returned(tx, controller.policy, 0, 30.0)
    two = made(controller.policy, 2)
    controller.register(tx, two, 31.0)
    assert controller.offer(tx, two, FAIL, 31.0).stage is Stage.QUARANTINED
    assert two.version not in should_be_loaded(tx, controller.policy, controller.settings, 31.0)
    assert rollouts_table.must_return(tx, controller.policy) is not None


def test_a_share_of_an_engine_s_adapters_is_never_outgrown(
    tx: Transaction, controller: RolloutController
) -> None:
    """What lingers goes first where it has no room, and until there is some no version waits to be offered."""
    one = canary(controller, tx, 1, 0.0)
    controller.observe(tx, HARMFUL, 10.0)
    rollouts_table.returned(tx, controller.policy, 0, 10.0)
    controller.register(tx, made(controller.policy, 2), 11.0)

    def at(now: float, adapters: int) -> tuple[int, bool, int]:
        found = read_snapshot(tx, controller.policy, controller.settings, now, adapters)
        assert found is not None
        return len(found.loaded), one.version in found.loaded, len(found.waiting)

    assert at(12.0, 0) == at(12.0, 4) == (2, True, 1)
    assert at(12.0, 3) == (2, True, 0), "one more, and one that is proven, are too many"
    assert at(12.0, 2) == (1, False, 0)
    assert at(30.0, 3) == (1, False, 1), "once it lingers no more"


def test_late_evidence_takes_a_promoted_version_back(
    tx: Transaction, controller: RolloutController
) -> None:
    """During the bake the previous champion serves again, and the flag says so."""
    canary(controller, tx, 1, 0.0)
    controller.observe(tx, GOOD, 1.0)
    assert champions_table.champion(tx, controller.policy).sequence == 1
    controller.observe(tx, HARMFUL, 2.0)
    assert champions_table.champion(tx, controller.policy).sequence == 0
    assert flag_state(tx, controller.policy, controller.settings, 1).previous is None
    owed = rollouts_table.must_return(tx, controller.policy)
    assert owed is not None
    assert owed.to_sequence == 0


def test_a_person_keeps_what_an_alarm_holds_in_its_bake(
    tx: Transaction, controller: RolloutController
) -> None:
    """It was promoted over nothing that was shown then: said again, it settles in its time."""
    one = canary(controller, tx, 1, 0.0)
    controller.promote(tx, "ann: meant", 1.0)
    assert controller.promote(tx, "ann: meant", 1.5).trail[-1].at == 1.0
    alarm = DriftAlarm(version=one.version, behaviour="asks", at=2.0, said="asks", evidence=())
    alarms_table.file_alarms(tx, controller.policy, [alarm])
    held = controller.observe(tx, UNDECIDED, 3.0)
    assert held is not None
    assert held.held == alarm.sentence
    kept = controller.promote(tx, "bob: still meant", 4.0)
    assert (kept.held, kept.overruled, kept.deadline) == ("", alarm.sentence, held.deadline)
    assert "bob: still meant (by hand, over: " in kept.trail[-1].reason
    assert alarm.sentence in kept.trail[-1].reason
    settled = controller.observe(tx, UNDECIDED, 102.0)
    assert settled is not None
    assert settled.stage is Stage.SETTLED


def test_running_out_of_time_is_without_blame(
    tx: Transaction, controller: RolloutController
) -> None:
    """The learner goes back to the champion and tries again; nothing is quarantined."""
    canary(controller, tx, 1, 0.0)
    late = controller.observe(tx, UNDECIDED, 600.0)
    assert late is not None
    assert late.stage is Stage.SUPERSEDED
    owed = rollouts_table.must_return(tx, controller.policy)
    assert owed is not None
    assert (owed.refused_sequence, owed.to_sequence) == (1, 0)
    rollouts_table.returned(tx, controller.policy, 0, 601.0)
    assert candidates_table.quarantined(tx, controller.policy) == {}
    assert len(candidates_table.waiting(tx, controller.policy)) == 0
    promote(controller, tx, 2, 700.0)
    assert champions_table.champion(tx, controller.policy).sequence == 2


@pytest.mark.parametrize("held", [False, True])
def test_what_was_made_from_a_version_out_of_time_is_tried_in_its_place(
    tx: Transaction, controller: RolloutController, held: bool
) -> None:
    """The newest, against the same champion; where drift held the version its children end with it."""
    one, two, three = (made(controller.policy, number) for number in (1, 2, 3))
    canary(controller, tx, 1, 0.0)
    for later in (two, three):
        controller.register(tx, later, 10.0)
    if held:
        current = rollouts_table.current(tx, controller.policy)
        assert current is not None
        rollouts_table.save(tx, controller.policy, msgspec.structs.replace(current, held="drift"))
    late = controller.observe(tx, UNDECIDED, 600.0)
    assert late is not None
    assert (late.version, late.stage, late.out_of_time) == (one.version, Stage.SUPERSEDED, True)
    owed = rollouts_table.must_return(tx, controller.policy)
    if held:
        assert owed is not None
        assert candidates_table.waiting(tx, controller.policy) == []
        return
    assert owed is None
    assert controller.next_candidate(tx) == three
    rollout = controller.offer(tx, three, PASS, 601.0)
    assert rollout.control == champions_table.champion(tx, controller.policy).version
    assert champions_table.champion(tx, controller.policy).sequence == 0
    assert candidates_table.waiting(tx, controller.policy) == [three]
    # Now nothing waits behind it: the learner goes back, and all three are without blame.
    for now in (602.0, 603.0, 1300.0):
        controller.observe(tx, UNDECIDED, now)
    owed = rollouts_table.must_return(tx, controller.policy)
    assert owed is not None
    assert (owed.refused_sequence, owed.to_sequence) == (3, 0)
    assert candidates_table.quarantined(tx, controller.policy) == {}


def test_the_newest_version_that_waits_supersedes_the_older(
    tx: Transaction, controller: RolloutController
) -> None:
    """A child contains its parent, so only the newest is offered."""
    one, two = made(controller.policy, 1), made(controller.policy, 2)
    controller.register(tx, one, 0.0)
    controller.register(tx, two, 0.0)
    assert controller.next_candidate(tx) == two
    controller.offer(tx, two, PASS, 1.0)
    assert len(candidates_table.waiting(tx, controller.policy)) == 1
    with pytest.raises(ValueError, match="is gated"):
        controller.offer(tx, one, PASS, 1.0)


def test_unchanged_weights_are_not_offered(tx: Transaction, controller: RolloutController) -> None:
    """A checkpoint that skipped its batch has the champion's weights: nothing to compare."""
    controller.register(tx, made(controller.policy, 1, made(controller.policy, 0).digest), 0.0)
    assert controller.next_candidate(tx) is None


def test_a_settled_champion_is_rolled_back_by_hand(
    tx: Transaction, controller: RolloutController
) -> None:
    """Champion by champion down to v0; a child on trial ends with its parent, and v0 stays."""
    promote(controller, tx, 1, 0.0)
    two = promote(controller, tx, 2, 200.0)
    canary(controller, tx, 3, 400.0)
    assert controller.rollback(tx, "I saw it", 401.0).sequence == 1
    assert rollouts_table.current(tx, controller.policy) is None
    assert two.digest in candidates_table.quarantined(tx, controller.policy)
    owed = rollouts_table.must_return(tx, controller.policy)
    assert owed is not None
    assert (owed.to_sequence, owed.reason) == (1, "I saw it")
    assert controller.rollback(tx, "that too", 402.0).sequence == 0
    with pytest.raises(ValueError, match="nothing to roll back to"):
        controller.rollback(tx, "all of it", 403.0)
    stages = [rollout.stage for rollout in rollouts_table.history(tx, controller.policy)]
    assert stages == [Stage.ROLLED_BACK, Stage.ROLLED_BACK, Stage.SUPERSEDED]


def test_what_is_kept_suffices_for_rollbacks_one_after_another(
    tx: Transaction, controller: RolloutController
) -> None:
    """The last champions and v0 keep their weights; one that lost them is never champion again."""
    for number in range(1, 12):
        promote(controller, tx, number, 100.0 * number)
    waiting = made(controller.policy, 12)
    controller.register(tx, waiting, 2000.0)
    kept = kept_checkpoints(tx, controller.policy, controller.settings, 2000.0)
    assert kept == {0, *range(4, 13)}
    candidates_table.mark_pruned(tx, controller.policy, set(range(12)) - kept)
    champions = [controller.rollback(tx, "bad", 2001.0 + n).sequence for n in range(8)]
    assert champions == [10, 9, 8, 7, 6, 5, 4, 0]
    assert rollouts_table.must_return(tx, controller.policy) is not None
    assert kept_checkpoints(tx, controller.policy, controller.settings, 3000.0) >= {0}


def test_rollbacks_do_not_eat_what_is_kept_for_the_next(
    tx: Transaction, controller: RolloutController
) -> None:
    """With old weights deleted after each one, as many rollbacks still find a champion."""
    for number in range(1, 21):
        promote(controller, tx, number, 100.0 * number)
    champions = []
    for step in range(8):
        whole = set(range(21)) - kept_checkpoints(
            tx, controller.policy, controller.settings, 3000.0 + step
        )
        candidates_table.mark_pruned(tx, controller.policy, whole)
        champions.append(controller.rollback(tx, "bad", 3000.0 + step).sequence)
    assert champions == [19, 18, 17, 16, 15, 14, 13, 0]


def test_a_person_refuses_the_version_on_trial(
    tx: Transaction, controller: RolloutController
) -> None:
    """Where none is on trial the error says so."""
    canary(controller, tx, 1, 0.0)
    assert controller.refuse(tx, "it swears", 1.0).trail[-1].reason == "it swears"
    with pytest.raises(ValueError, match="no rollout"):
        controller.refuse(tx, "again", 2.0)


def test_flag_intents_are_confirmed_and_their_generations_grow(
    tx: Transaction, controller: RolloutController
) -> None:
    """A file that ran ahead of the store is overtaken, not believed."""
    assert not is_current(tx, controller.policy, controller.settings)
    first = intend(tx, controller.policy, controller.settings, 0, 1.0)
    assert first.generation == 1
    assert intents_table.newest(tx, controller.policy) == (first, False)
    assert not is_current(tx, controller.policy, controller.settings)
    intents_table.confirm(tx, controller.policy, 1, 2.0)
    assert intents_table.newest(tx, controller.policy) == (first, True)
    assert is_current(tx, controller.policy, controller.settings)
    canary(controller, tx, 1, 3.0)
    assert not is_current(tx, controller.policy, controller.settings)
    assert intend(tx, controller.policy, controller.settings, 41, 4.0).generation == 42
    assert intend(tx, controller.policy, controller.settings, 7, 5.0).generation == 43
    with pytest.raises(ValueError, match="never intended"):
        intents_table.confirm(tx, controller.policy, 44, 6.0)


def test_a_restart_goes_on_where_the_tables_are(tmp_path: Path) -> None:
    """Another process finds stage, step, trail, intent and debt as they were committed."""
    path, migrations = tmp_path / "rlwd.db", {"ops": candidates_table.MIGRATIONS}
    store, controller = SqliteStore(path, migrations), RolloutController("tiny", SETTINGS)
    with store.transaction() as tx:
        controller.register(tx, made("tiny", 0), 0.0)
        canary(controller, tx, 1, 1.0)
        intended = intend(tx, controller.policy, controller.settings, 0, 2.0)
        before = (
            rollouts_table.current(tx, controller.policy),
            should_be_loaded(tx, controller.policy, controller.settings, 3.0),
        )
    store.close()
    store, controller = SqliteStore(path, migrations), RolloutController("tiny", SETTINGS)
    with store.transaction() as tx:
        assert (
            rollouts_table.current(tx, controller.policy),
            should_be_loaded(tx, controller.policy, controller.settings, 3.0),
        ) == before
        assert intents_table.newest(tx, controller.policy) == (intended, False)
        assert not controller.register(tx, made("tiny", 1), 3.0)
        promoted = controller.observe(tx, GOOD, 4.0)
        assert promoted is not None
        assert promoted.stage is Stage.PROMOTED
    store.close()


ACTIONS = st.one_of(
    st.tuples(st.just("register"), st.integers(1, 4)),
    st.tuples(st.just("offer"), st.sampled_from([None, PASS, FAIL, WAIT])),
    st.tuples(st.just("release"), st.sampled_from([GOOD, GOOD, UNDECIDED, HARMFUL, None])),
    st.tuples(st.just("observe"), st.sampled_from([GOOD, UNDECIDED, HARMFUL, None])),
    st.tuples(st.just("wait"), st.sampled_from([1, 110, 700])),
    st.tuples(st.just("intend"), st.integers(0, 60)),
    st.tuples(st.just("returned"), st.none()),
    st.tuples(st.sampled_from(["rollback", "refuse", "restart"]), st.none()),
)


def test_whatever_happens_the_release_stays_sound(store: Store) -> None:
    """The invariants above, after every step of any history; of fewer on a server, where each is dear."""

    @settings(max_examples=30 if isinstance(store, PostgresStore) else 120)
    @given(actions=st.lists(ACTIONS, min_size=10, max_size=40))
    def any_history(actions: list[tuple[str, object]]) -> None:
        policy = f"any{next(NUMBERS)}"
        controller, history = RolloutController(policy, SETTINGS), History()
        with store.transaction() as tx:
            controller.register(tx, made(policy, 0), 0.0)
            for action, argument in actions:
                if action == "restart":
                    controller = RolloutController(policy, SETTINGS)
                history.act(tx, controller, action, argument)
                history.check(tx, controller)

    any_history()


class History:
    """A history so far, and what may never be otherwise."""

    def __init__(self) -> None:
        self.now, self.sequence, self.generation = 1.0, 0, 0

    def act(
        self, tx: Transaction, controller: RolloutController, action: str, argument: object
    ) -> None:
        """Do one thing, as the daemon would."""
        if action == "wait":
            assert isinstance(argument, int)
            self.now += argument
        elif action == "register":
            self.sequence += 1
            digest = f"{argument:08x}" * 8 if argument != 4 else None
            controller.register(tx, made(controller.policy, self.sequence, digest), self.now)
        elif action == "offer":
            assert argument is None or isinstance(argument, Verdict)
            self._offer(tx, controller, argument)
        elif action in ("release", "observe"):
            assert argument is None or isinstance(argument, Observation)
            if action == "release":
                self._register(tx, controller, 4)
                self._offer(tx, controller, PASS)
                controller.observe(tx, None, self.now)
                controller.observe(tx, GOOD, self.now)
            controller.observe(tx, argument, self.now)
        elif action == "intend":
            assert isinstance(argument, int)
            state = intend(tx, controller.policy, controller.settings, argument, self.now)
            assert state.generation > max(self.generation, argument)
            self.generation = state.generation
            intents_table.confirm(tx, controller.policy, state.generation, self.now)
            assert is_current(tx, controller.policy, controller.settings)
        elif action == "returned":
            owed = rollouts_table.must_return(tx, controller.policy)
            rollouts_table.returned(
                tx, controller.policy, owed.to_sequence if owed else 0, self.now
            )
        elif action == "rollback" and champions_table.champion(tx, controller.policy).sequence:
            controller.rollback(tx, "by hand", self.now)
        elif action == "refuse" and rollouts_table.current(tx, controller.policy) is not None:
            controller.refuse(tx, "by hand", self.now)

    def _register(self, tx: Transaction, controller: RolloutController, weights: int) -> None:
        """Register a version with weights 1, 2 or 3, or with new ones."""
        self.sequence += 1
        digest = f"{weights:08x}" * 8 if weights != 4 else f"{self.sequence + 8:08x}" * 8
        controller.register(tx, made(controller.policy, self.sequence, digest), self.now)

    def _offer(
        self, tx: Transaction, controller: RolloutController, verdict: Verdict | None
    ) -> None:
        current, candidate = (
            rollouts_table.current(tx, controller.policy),
            controller.next_candidate(tx),
        )
        if candidate is None:
            if current is None or current.stage is not Stage.OFFERED:
                return
            candidate = candidates_table.find(tx, controller.policy, current.version)
        elif verdict is None or current is None:
            assert candidate.digest not in candidates_table.quarantined(tx, controller.policy)
        controller.offer(tx, candidate, verdict, self.now)

    def check(self, tx: Transaction, controller: RolloutController) -> None:
        """Hold what must hold."""
        champion, anchor = (
            champions_table.champion(tx, controller.policy),
            candidates_table.anchor(tx, controller.policy),
        )
        banned, current = (
            candidates_table.quarantined(tx, controller.policy),
            rollouts_table.current(tx, controller.policy),
        )
        assert anchor.sequence == 0
        assert champion.digest not in banned
        assert anchor.digest not in banned
        previous = champions_table.previous(tx, controller.policy)
        assert previous is None or previous.digest not in banned
        assert (
            sum(
                rollout.stage not in ENDED
                for rollout in rollouts_table.history(tx, controller.policy)
            )
            <= 1
        )
        state = flag_state(tx, controller.policy, controller.settings, 1)
        assert (state.candidate is None) == (state.shares.candidate == 0)
        assert (state.candidate is not None) == (current is not None and current.serving)
        assert state.champion.version == champion.version
        named = {state.champion.version, state.anchor.version}
        named |= {v.version for v in (state.candidate, state.previous) if v is not None}
        assert named <= set(should_be_loaded(tx, controller.policy, controller.settings, self.now))
        if current is not None:
            assert current.digest not in banned
            assert current.control == champion.version or current.stage is Stage.PROMOTED
        owed = rollouts_table.must_return(tx, controller.policy)
        assert owed is None or owed.to_sequence <= owed.refused_sequence

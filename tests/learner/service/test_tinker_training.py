"""A service that misbehaves, seen by the client library's own retries: each call is done once or not at all."""

import pytest
from stand_in_server import StandInServer, at_service

from rlwd.learner.service.own_training import OwnTraining
from rlwd.learner.service.port import AdamStep, Datum, ServiceAway, ServiceClosed
from rlwd.learner.service.tinker_training import TinkerTraining
from rlwd.learner.settings import LearnerSettings

# The client library drops the connection that it fetched its configuration by without closing it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

STEP = AdamStep(learning_rate=5e-3, beta1=0.9, beta2=0.95, eps=1e-5, clip_norm=1.0)
ONE = Datum(prompt_token_ids=(5, 6, 9), token_ids=(7, 8), weights=(1.0, -0.5))


@pytest.fixture
def service(stand_in: StandInServer, plain: LearnerSettings) -> TinkerTraining:
    """A run of its own."""
    made = TinkerTraining(at_service(plain, stand_in))
    made.begin(None)
    return made


def test_lost_answers_and_refusals_of_the_moment(
    service: TinkerTraining, stand_in: StandInServer, plain: LearnerSettings
) -> None:
    """429, 503, answers that never come after the work was done, and long waits: each step is made once."""
    before = stand_in.counts
    stand_in.order(
        ("forward_backward", "lost", 1),
        ("optim_step", "lost", 1),
        ("optim_step", "429", 1),
        ("save_weights", "503", 1),
        ("retrieve_future", "pending", 2),
    )
    for _ in range(2):
        service.forward_backward([ONE])
        service.step(STEP)
    service.save("after-noise")
    after = stand_in.counts
    assert after["steps"] - before["steps"] == 2
    assert after["answered_again"] - before["answered_again"] == 2
    own = OwnTraining(plain)
    own.begin(None)
    for _ in range(2):
        own.forward_backward([ONE])
        own.step(STEP)
    (found,), (wanted,) = service.logprobs([ONE]), own.logprobs([ONE])
    assert found == pytest.approx(wanted, abs=2e-6)


def test_a_restart_loses_what_was_not_saved_and_says_so(
    service: TinkerTraining, stand_in: StandInServer
) -> None:
    """The run is away, a state that was saved is not: the next one begins from it."""
    service.forward_backward([ONE])
    service.step(STEP)
    state, (wanted,) = service.save("before-restart"), service.logprobs([ONE])
    stand_in.order(("forward_backward", "restart", 1))
    with pytest.raises(ServiceAway):
        service.forward_backward([ONE])
    with pytest.raises(ServiceAway, match="the training run is over"):
        service.step(STEP)
    service.begin(state)
    assert service.logprobs([ONE])[0] == pytest.approx(wanted, abs=2e-6)


def test_no_answer_in_time_is_away(stand_in: StandInServer, plain: LearnerSettings) -> None:
    """Nobody waits longer than `timeout_seconds` for a call that is never ready."""
    service = TinkerTraining(at_service(plain, stand_in, timeout_seconds=3.0))
    service.begin(None)
    stand_in.order(("retrieve_future", "pending", 1_000_000))
    try:
        with pytest.raises(ServiceAway, match="TimeoutError"):
            service.forward_backward([ONE])
    finally:
        stand_in.well()


def test_what_a_person_has_to_change_is_told(
    stand_in: StandInServer, plain: LearnerSettings
) -> None:
    """A key or a model that the service does not take ends the learner with the reason, at its start."""
    for changes, told in (
        ({"key": stand_in.key("tml-somebody-else")}, "401"),
        ({"key": stand_in.key("without its prefix")}, r"learner\.service\.key"),
        ({"model": "unheard-of"}, "unheard-of"),
    ):
        service = TinkerTraining(at_service(plain, stand_in, **changes))
        with pytest.raises(ServiceClosed, match=told):
            service.begin(None)
    with pytest.raises(ValueError, match=r"learner\.service\.key"):
        TinkerTraining(at_service(plain, stand_in, key="$NOBODY_SET_THIS"))


@pytest.mark.parametrize("kind", ["short", "nameless"])
def test_a_pass_that_says_too_little_is_away(
    service: TinkerTraining, stand_in: StandInServer, kind: str
) -> None:
    """What it says of another number of tokens than it was asked for is believed of none of them."""
    stand_in.order(("forward_backward", kind, 1))
    with pytest.raises(ServiceAway, match="log-probabilities"):
        service.logprobs([ONE])

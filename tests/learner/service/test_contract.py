"""The contract of `TrainingService`: our own learner and a service behind HTTP keep the same promises."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from stand_in_server import StandInServer, at_service

from rlwd.learner.service.own_training import OwnTraining
from rlwd.learner.service.port import (
    AdamStep,
    ContentsRefused,
    Datum,
    ServiceClosed,
    TrainingService,
)
from rlwd.learner.service.tinker_training import TinkerTraining
from rlwd.learner.settings import LearnerSettings

# The client library drops the connection that it fetched its configuration by without closing it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

STEP = AdamStep(learning_rate=5e-3, beta1=0.9, beta2=0.95, eps=1e-5, clip_norm=1.0)
ONE = Datum(prompt_token_ids=(5, 6, 9), token_ids=(7, 8), weights=(1.0, -0.5))
OTHER = Datum(prompt_token_ids=(3,), token_ids=(4, 200, 17), weights=(0.25, 0.0, 1.0))
UNKNOWN = Datum(prompt_token_ids=(5,), token_ids=(100_000,), weights=(1.0,))


@pytest.fixture(scope="module")
def own(plain: LearnerSettings) -> OwnTraining:
    return OwnTraining(plain)


@pytest.fixture(scope="module", params=["own", "service"])
def service(
    request: pytest.FixtureRequest, plain: LearnerSettings, own: OwnTraining
) -> Iterator[TrainingService]:
    """Each of the implementations in turn."""
    if request.param == "own":
        yield own
    else:
        server: StandInServer = request.getfixturevalue("stand_in")
        yield TinkerTraining(at_service(plain, server))


def moved(service: TrainingService, *data: Datum, times: int = 1) -> list[list[float]]:
    """Make steps, each on the gradients of the data one after the other; return what is said then."""
    for _ in range(times):
        for one in data:
            service.forward_backward([one])
        service.step(STEP)
    return service.logprobs([ONE, OTHER])


def close(found: Sequence[Sequence[float]], wanted: Sequence[Sequence[float]]) -> bool:
    return np.allclose(np.concatenate(found), np.concatenate(wanted), atol=2e-6)


def test_a_policy_begins_as_its_base(service: TrainingService, own: OwnTraining) -> None:
    """A zero adapter says what the base model says, of each looked-at token, in the data's order."""
    service.begin(None)
    found = service.logprobs([ONE, OTHER])
    assert [len(each) for each in found] == [2, 3]
    assert close(found, service.base_logprobs([ONE, OTHER]))
    own.begin(None)
    assert close(found, own.logprobs([ONE, OTHER]))


def test_gradients_add_up_until_a_step(service: TrainingService, own: OwnTraining) -> None:
    """Two calls and a step are as one call with both; what is weighted up rises, and scores alone move nothing."""
    service.begin(None)
    before = service.logprobs([ONE, OTHER])
    assert close(service.forward_backward([ONE, OTHER]), before)
    assert service.logprobs([ONE, OTHER]) == before
    service.step(STEP)
    at_once = service.logprobs([ONE, OTHER])
    assert at_once[0][0] > before[0][0]
    assert at_once[0][1] < before[0][1]
    service.begin(None)
    assert close(moved(service, ONE, OTHER), at_once)
    own.begin(None)
    assert close(moved(own, ONE, OTHER), at_once)


def test_what_is_saved_is_gone_on_from(service: TrainingService) -> None:
    """Weights and optimizer: the same step from a saved state is the same, whatever was done since."""
    service.begin(None)
    there = moved(service, ONE, OTHER, times=2)
    state = service.save("contract-saved")
    once = moved(service, ONE)
    moved(service, OTHER, times=2)
    service.forward_backward([OTHER])  # a gradient that no step took
    service.begin(state)
    assert close(service.logprobs([ONE, OTHER]), there)
    assert close(moved(service, ONE), once)


def test_an_export_is_what_was_trained(
    service: TrainingService, own: OwnTraining, tmp_path: Path
) -> None:
    """The adapter's files, read by PEFT, say what the service says; nothing goes on differently after it."""
    service.begin(None)
    wanted = moved(service, ONE, OTHER, times=2)
    service.export("contract-exported", tmp_path / "adapter")
    assert service.logprobs([ONE, OTHER]) == wanted
    own.begin(None)
    own.learner.policy.load_adapter(tmp_path / "adapter")
    assert close(own.logprobs([ONE, OTHER]), wanted)


def test_what_is_refused_changes_nothing(service: TrainingService) -> None:
    """An unknown token and an unknown state are told by name, and what was saved is as it was."""
    service.begin(None)
    wanted = moved(service, ONE)
    state = service.save("contract-refused")
    with pytest.raises(ContentsRefused, match="100000"):
        service.forward_backward([ONE, UNKNOWN])
    with pytest.raises(ServiceClosed):
        service.begin(f"{state}-unheard-of")
    with pytest.raises(ValueError, match=r"\$\.data"):
        service.logprobs([])
    service.begin(state)
    assert close(service.logprobs([ONE, OTHER]), wanted)


def test_what_is_forgotten_is_gone(service: TrainingService) -> None:
    """A forgotten state cannot be begun from, and may be forgotten again."""
    service.begin(None)
    state = service.save("contract-forgotten")
    service.begin(None)
    service.forget([state])
    service.forget([state])
    with pytest.raises(ServiceClosed):
        service.begin(state)

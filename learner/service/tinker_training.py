"""Tinker training: a service that speaks the Tinker API, behind the port, by its own client library.

https://tinker-docs.thinkingmachines.ai. The library numbers the calls of a training run, so that one
sent again is not done again, and tries again by itself for minutes before it gives up. A run that it
gave up is over: the next one begins from what was saved.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

import httpx
import numpy as np
import structlog
import tinker
from tinker import types

from ...streams.authorities import authorities
from ...streams.secret_values import read_secret
from ..digests import ADAPTER_FILES
from ..settings import LearnerSettings
from .port import AdamStep, Datum, Logprobs, ServiceAway, ServiceClosed
from .tinker_faults import FAULTS, in_our_words

log = structlog.get_logger()
T = TypeVar("T")

LINEAR: Final = "cross_entropy"
"""The service's name of the loss -sum(w log pi)."""
LEAVE_SECONDS = 3.0
"""Longest wait for a session to be told that it is over."""


class TinkerTraining:
    """One training run at a time, and the sessions that they are in."""

    def __init__(self, settings: LearnerSettings) -> None:
        """Raises ValueError where `learner.service.key` names what is not there."""
        # Its reports of what went wrong in this process would go to the service, stack and all.
        os.environ.setdefault("TINKER_TELEMETRY", "0")
        self.settings, self.timeout = settings, settings.service.timeout_seconds
        self._key = read_secret("learner.service.key", settings.service.key) or None
        self._session: tinker.ServiceClient | None = None
        self._run: tinker.TrainingClient | None = None
        self._base: tinker.SamplingClient | None = None
        self._clean: str | None = None
        """What the run's present state was saved as; None once it has moved on."""

    def begin(self, state: str | None) -> None:
        """As TrainingService says; a run that stands there already goes on."""
        if self._run is not None and state is not None and state == self._clean:
            return
        self._leave()
        with self._faults(beginning=True):
            session = self._opened()
            if state is None:
                begun = session.create_lora_training_client(
                    self.settings.service.model,
                    rank=self.settings.lora_rank,
                    seed=self.settings.seed,
                    # vLLM serves no adapter on the head.
                    train_unembed=False,
                )
            else:
                begun = session.create_training_client_from_state_with_optimizer(state)
            self._run = begun.result(self.timeout)
        self._clean = state

    def logprobs(self, data: Sequence[Datum]) -> Logprobs:
        """As TrainingService says."""
        given = _tinker_data(data)
        with self._faults():
            return self._read(self._begun().forward(given, LINEAR), data)

    def forward_backward(self, data: Sequence[Datum]) -> Logprobs:
        """As TrainingService says."""
        if bare := [index for index, one in enumerate(data) if not one.weights]:
            raise ValueError(f"$.data[{bare[0]}].weights: empty")
        given, self._clean = _tinker_data(data), None
        with self._faults():
            return self._read(self._begun().forward_backward(given, LINEAR), data)

    def base_logprobs(self, data: Sequence[Datum]) -> Logprobs:
        """As TrainingService says."""
        with self._faults():
            if self._base is None:
                asked = self._opened().create_sampling_client(
                    base_model=self.settings.service.model
                )
                self._base = asked.result(self.timeout)
            futures = [
                self._base.compute_logprobs(
                    types.ModelInput.from_ints([*one.prompt_token_ids, *one.token_ids])
                )
                for one in data
            ]
            found = [
                _last(future.result(self.timeout), one)
                for future, one in zip(futures, data, strict=True)
            ]
            return [[_number(value) for value in each] for each in found]

    def step(self, adam: AdamStep) -> None:
        """As TrainingService says."""
        self._clean = None
        params = types.AdamParams(
            learning_rate=adam.learning_rate,
            beta1=adam.beta1,
            beta2=adam.beta2,
            eps=adam.eps,
            weight_decay=0.0,
            grad_clip_norm=adam.clip_norm,
        )
        with self._faults():
            self._begun().optim_step(params).result(self.timeout)

    def save(self, name: str) -> str:
        """As TrainingService says."""
        with self._faults(contents=False):
            path = self._begun().save_state(name).result(self.timeout).path
        self._clean = path
        return path

    def export(self, name: str, folder: Path) -> None:
        """As TrainingService says; the service's own copy is given up afterwards."""
        with self._faults(contents=False):
            path = self._begun().save_weights_external(name).result(self.timeout).path
            urls = self._rest().get_external_weights_urls(path).result(self.timeout).urls
            if missing := set(ADAPTER_FILES) - urls.keys():
                raise ServiceClosed(f"{path}: it has no {min(missing)}")
            folder.mkdir(parents=True)
            for file in ADAPTER_FILES:
                _download(urls[file], folder / file, self.timeout)
        try:
            self.forget([path])
        except ServiceAway as away:
            log.warning("states_not_forgotten", states=1, problem=str(away))

    def forget(self, states: Sequence[str]) -> None:
        """As TrainingService says."""
        for state in states:
            try:
                with self._faults(beginning=True):
                    self._rest().delete_checkpoint_from_tinker_path(state).result(self.timeout)
            except ServiceClosed as problem:
                log.info("nothing_to_forget", state=state, problem=str(problem))

    def _read(
        self, made: tinker.APIFuture[types.ForwardBackwardOutput], data: Sequence[Datum]
    ) -> Logprobs:
        """Wait for what a pass says of the tokens that are looked at."""
        outputs = made.result(self.timeout).loss_fn_outputs
        if any("logprobs" not in out for out in outputs):
            raise ValueError("a pass without log-probabilities")
        return [
            [*_last(out["logprobs"].to_numpy().ravel().astype(float).tolist(), one)]
            for out, one in zip(outputs, data, strict=True)
        ]

    def _rest(self) -> tinker.RestClient:
        return tinker.RestClient(base_url=self.settings.service.url, api_key=self._key)

    def _opened(self) -> tinker.ServiceClient:
        if self._session is None:
            self._session = tinker.ServiceClient(
                base_url=self.settings.service.url, api_key=self._key
            )
        return self._session

    def _begun(self) -> tinker.TrainingClient:
        if self._run is None:
            raise ServiceAway("the training run is over")
        return self._run

    def _leave(self) -> None:
        """Give the session up, with its run; the service frees what they held."""
        if self._session is not None:
            # Where it is away its end is told later, or never.
            with suppress(*FAULTS):
                self._session.close("interrupted").result(LEAVE_SECONDS)
        self._session = self._run = self._base = self._clean = None

    @contextmanager
    def _faults(self, *, beginning: bool = False, contents: bool = True) -> Iterator[None]:
        """Say what the library raises in the port's words, and give up a run that broke off."""
        try:
            yield
        except ServiceClosed:
            raise
        except FAULTS as problem:
            found, self._clean = in_our_words(problem, beginning=beginning, contents=contents), None
            if isinstance(found, ServiceAway):
                self._leave()
            raise found from problem


def _tinker_data(data: Sequence[Datum]) -> list[types.Datum]:
    if not data:
        raise ValueError("$.data: empty")
    return [_tinker_datum(one) for one in data]


def _tinker_datum(one: Datum) -> types.Datum:
    """Shift by one: what stands at a place is asked for the token after it."""
    ids, before = [*one.prompt_token_ids, *one.token_ids], len(one.prompt_token_ids) - 1
    weights = np.zeros(len(ids) - 1, dtype=np.float32)
    weights[before:] = one.weights or 1.0
    return types.Datum(
        model_input=types.ModelInput.from_ints(ids[:-1]),
        loss_fn_inputs={
            "target_tokens": types.TensorData.from_numpy(np.asarray(ids[1:], dtype=np.int64)),
            "weights": types.TensorData.from_numpy(weights),
        },
    )


def _last(found: Sequence[T], one: Datum) -> Sequence[T]:
    """Return what is said of the tokens that are looked at, the last ones of a sequence.

    Raises ValueError where it is said of another number of tokens than the sequence has.
    """
    asked = len(one.prompt_token_ids) + len(one.token_ids)
    # A pass says nothing of the first token; sampling has a place for it.
    if len(found) not in (asked - 1, asked):
        raise ValueError(f"{len(found)} log-probabilities of {asked} tokens")
    return found[-len(one.token_ids) :]


def _number(value: float | None) -> float:
    if value is None:
        raise ValueError("a token without a log-probability")
    return value


def _download(url: str, path: Path, timeout: float) -> None:
    """Fetch one file in so many seconds; the address is signed, and carries no key of ours."""
    until = time.monotonic() + timeout
    with (
        httpx.stream(
            "GET", url, timeout=timeout, follow_redirects=True, verify=authorities()
        ) as answer,
        path.open("wb") as file,
    ):
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            file.write(piece)
            # A limit of each read alone is none for a server that sends a byte now and then.
            if time.monotonic() > until:
                raise TimeoutError(f"{path.name}: not whole after {timeout:g} s")
    path.chmod(0o644)  # the engine may run as another user

"""Service learner: what the worker has of a learner whose tensors lie behind the port.

A batch is begun from the state that the head's manifest names, and its steps are in nothing that a
manifest names until it is whole: saved there, its adapter here. So it may be begun again as often as it takes,
by this process or the next one, and counts once.
"""

import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..candidate import Manifest, Probe
from ..checkpoint.elsewhere import AT_SERVICE, LearnerElsewhere
from ..checkpoint.estimator_files import read_estimators, write_estimators
from ..checkpoint.folder import checkpoint_path, whole_checkpoints
from ..checkpoint.no_room import making
from ..digests import ADAPTER_FILES
from ..estimators.side_by_side import Estimators
from ..sealed import SealedBatch
from ..settings import LearnerSettings
from ..train.steps import BatchGivenUp
from ..train.update import Update
from .port import ContentsRefused, ServiceAway, TrainingService
from .service_base import ServiceBase
from .service_state import ServiceState, state_in
from .service_steps import ServiceSteps
from .service_update import apply_at_service, probe

log = structlog.get_logger()
T = TypeVar("T")

WAITS = (1.0, 5.0, 15.0, 60.0)
"""Seconds before a service that is away is asked again; the last one repeats."""
SCRATCH, FETCHED = ".new-service", ".new-service-fetched"
"""Where the present state's adapter lies until its checkpoint has it, and one that is being fetched; a
learner's start sweeps both away."""


class ServiceLearner(LearnerElsewhere):
    """Policy and optimizer at a service, baselines here: they change together or not at all."""

    def __init__(
        self,
        service: TrainingService,
        settings: LearnerSettings,
        folder: Path,
        waiting: Callable[[str], None],
    ) -> None:
        """`waiting` is told why the service is waited for, and an empty text once it is not."""
        self.service, self.settings, self.folder, self.waiting = service, settings, folder, waiting
        found = ServiceBase.read(settings)
        self.made_with, self.base, self.base_digest = found.made_with, found.told, found.digest
        self.vocabulary = found.vocabulary
        self.estimators = Estimators.new(settings)
        self.state: str | None = None
        """What the newest checkpoint's weights and optimizer are saved as."""
        self.steps = 0
        self._waits = False

    def first(self) -> Probe:
        """Make what a policy starts from, a zero adapter; return its probe.

        Raises ValueError, naming `learner.service`, where the service refuses the probe's tokens.
        """

        def begun() -> Probe:
            self.service.begin(None)
            try:
                found = probe(self.service, self.vocabulary, self.settings)
            except BatchGivenUp as problem:
                raise ServiceAway(f"the probe: {problem}") from problem
            self._keep("first", 0)
            return found

        try:
            return self._whole(begun)
        except ContentsRefused as problem:
            raise ValueError(
                f"learner.service.model: it refuses the probe of learner.model: {problem}"
            ) from problem

    def apply(
        self, batch: SealedBatch, progress: Callable[[int, int], None] | None = None
    ) -> Update:
        """Apply a batch, all of it or nothing, waiting for the service for as long as it is away.

        Raises BatchGivenUp, with nothing changed.
        """
        was = self.estimators.state()

        def applied() -> Update:
            self.estimators = Estimators.from_state(*was, self.settings)
            self.service.begin(self.state)
            steps = ServiceSteps(service=self.service, settings=self.settings, made=self.steps)

            def told(done: int, of: int) -> None:
                self._goes_on()
                if progress:
                    progress(done, of)

            update = apply_at_service(steps, self.estimators, batch, self.vocabulary, told)
            self._keep(f"batch-{batch.batch_id}", steps.made)
            return update

        try:
            return self._whole(applied)
        except ContentsRefused as problem:
            self.estimators = Estimators.from_state(*was, self.settings)
            raise BatchGivenUp(f"the training service refuses it: {problem}") from problem
        except BatchGivenUp:
            self.estimators = Estimators.from_state(*was, self.settings)
            raise

    def stand_on_offered(self) -> None:
        """Change nothing: what is trained is what is offered."""

    def write(self, aside: Path) -> Path:
        """As LearnerElsewhere says."""
        assert self.state is not None, "nothing was saved"
        service = self.settings.service
        named = ServiceState(
            url=service.url, model=service.model, state=self.state, steps=self.steps
        )
        (aside / AT_SERVICE).write_bytes(msgspec.json.format(msgspec.json.encode(named)))
        write_estimators(aside, self.estimators)
        shutil.copytree(self._scratch, aside / "adapter")
        return aside / "adapter"

    def read(self, checkpoint: Path, manifest: Manifest) -> None:
        """As LearnerElsewhere says; the service is asked for the state at once."""
        named = state_in(checkpoint)
        if named is None:
            raise ValueError(
                f"{checkpoint}: made by our own learner, whose optimizer no service takes up:"
                " empty learner.service.url, or begin another policy"
            )
        if named.model != self.settings.service.model:
            raise ValueError(
                f"learner.service.model: {checkpoint} was made from {named.model!r} there, and goes on from it:"
                " set it back, or begin another policy"
            )
        self._whole(lambda: self.service.begin(named.state))
        self.state, self.steps = named.state, named.steps
        self.estimators = read_estimators(checkpoint, self.settings)
        shutil.rmtree(self._scratch, ignore_errors=True)
        with making(self._scratch):
            shutil.copytree(checkpoint / manifest.version, self._scratch)

    def forget(self, sequences: Iterable[int]) -> None:
        """Let the service forget what only these checkpoints name; call it before they are pruned.

        What a damaged one names is not known: of one that is kept it may be any, and nothing is forgotten.
        """
        gone = set(sequences)
        kept, spare = set[str](), set[str]()
        for sequence in whole_checkpoints(self.folder):
            try:
                named = state_in(checkpoint_path(self.folder, sequence))
            except ValueError as problem:
                log.warning("states_not_forgotten", states=1, problem=str(problem))
                if sequence not in gone:
                    return
                continue
            if named:
                (spare if sequence in gone else kept).add(named.state)
        try:
            self.service.forget(sorted(spare - kept))
        except ServiceAway as away:
            log.warning("states_not_forgotten", states=len(spare - kept), problem=str(away))

    @property
    def _scratch(self) -> Path:
        return self.folder / SCRATCH

    def _keep(self, name: str, steps: int) -> None:
        """Save what was begun there, and take its adapter here; only then is it the present state."""
        state, fetched = self.service.save(_unique(name)), self.folder / FETCHED

        def fetch() -> None:
            # It stands there, unless the service went away since: its steps are not made again for that.
            self.service.begin(state)
            shutil.rmtree(fetched, ignore_errors=True)
            with making(fetched):
                self.service.export(_unique(name), fetched)
            _check_whole(fetched)

        self._whole(fetch)
        # Only now: a batch that is given up writes the present one again.
        shutil.rmtree(self._scratch, ignore_errors=True)
        fetched.rename(self._scratch)
        self.state, self.steps = state, steps

    def _whole(self, made: Callable[[], T]) -> T:
        """Do it, from its beginning again where the service was away."""
        tries = 0
        try:
            while True:
                try:
                    return made()
                except ServiceAway as away:
                    log.warning("training_service_away", problem=str(away), tries=tries + 1)
                    self._waits = True
                    self.waiting(f"waits for the training service: {away}")
                    time.sleep(WAITS[min(tries, len(WAITS) - 1)])
                    tries += 1
        finally:
            self._goes_on()  # Where it was given up for another reason, too.

    def _goes_on(self) -> None:
        """Say that the service is not waited for any more, where it was."""
        if self._waits:
            self._waits = False
            self.waiting("")


def _unique(name: str) -> str:
    """Return a name that was never used: what an earlier try left there is not looked at."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


def _check_whole(adapter: Path) -> None:
    """Raise ServiceAway where an adapter that came cannot be read: cut off on its way, it would be a version."""
    config, weights = (adapter / name for name in ADAPTER_FILES)
    try:
        json.loads(config.read_bytes())
        load_file(weights)
    except (ValueError, SafetensorError) as problem:
        raise ServiceAway(f"the adapter that it sent: {problem}") from problem

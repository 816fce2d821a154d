"""FlagEvaluator: asks the flag who gets what, through OpenFeature, and reloads the file by content."""

import contextlib
import itertools
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import orjson
import structlog
from openfeature import api
from openfeature.evaluation_context import EvaluationContext

from ...streams.state.durable import replace_file
from .assignment import Assignment, ServedVersion, Shares, Variant, bucket
from .cells import Cell, Cells
from .flag_provider import FlagProvider
from .flag_state import FlagState, VariantValue, to_document, to_state

log = structlog.get_logger()

_DOMAINS = itertools.count()


class FlagsUnavailable(RuntimeError):
    """No flag file could be read yet, so nobody can be assigned to anything."""


class ArmAnswer(NamedTuple):
    """What an experiment's own flag says of a user."""

    flag: str
    """The experiment's name."""
    arm: str
    """The arm; the first for who is in none."""
    salt: str
    """The experiment's."""
    bucket: int
    """0 to 9,999, from that salt and the user."""
    generation: int
    """Generation of the flag file that decided."""
    reason: str
    """The flag provider's own reason."""


class _Decided(NamedTuple):
    """What the policy's flag says of everybody in one cell."""

    variant: Variant
    served: ServedVersion
    fallbacks: tuple[ServedVersion, ...]
    reason: str


class FlagEvaluator:
    """Assigns users to variants by the flag file.

    It reads the file at most once in `reload_seconds` and compares bytes, so nothing that happens
    to the file's times can hide a change. A bad or missing file leaves the rules as they were, is
    counted, and is logged once. Where it was bad from the start, a copy of the last good one decides,
    if there is any: everybody gets its champion then, since an experiment of old may have ended badly.
    Without a path it reads nothing: `take` and `refuse` tell it what was fetched from `place`, and a
    generation that goes back is a bad one, for anybody on the way may have kept it. `policy` is the
    one whose flags may be used; empty is any. The flag is asked once for all users whom its rules do
    not tell apart. Not thread-safe.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        reload_seconds: float = 0.15,
        copy: Path | None = None,
        policy: str = "",
        place: str = "",
    ) -> None:
        self.path, self.reload_seconds, self.copy = path, reload_seconds, copy
        self.policy, self.place = policy, place or str(path)
        self.state: FlagState | None = None
        self.problem: str = f"{self.place}: not read yet"
        """What is wrong with the file now; empty where nothing is."""
        self.bad_reads = 0
        """Times that a new content, or none, was refused."""
        self._raw: bytes | None = None
        self._next = float("-inf")
        self._provider = FlagProvider()
        self._cells, self._decided = Cells(None), dict[Cell, _Decided]()
        self.domain = f"rlwd-{next(_DOMAINS)}"
        # Without waiting, the first calls would get the code default (1,700 of 20,000, measured).
        api.set_provider_and_wait(self._provider, domain=self.domain)
        self._client = api.get_client(self.domain)

    @property
    def ready(self) -> bool:
        """True once rules were loaded; they are kept whatever becomes of the file."""
        return self.state is not None

    def refresh(self, now: float) -> None:
        """Take over the file's content if it changed; does nothing more than once in a while."""
        if self.path is None or now < self._next:
            return
        self._next = now + self.reload_seconds
        try:
            raw = self.path.read_bytes()
        except OSError as problem:
            self._raw = None
            self.refuse(str(problem.strerror))
            return
        if raw != self._raw:
            self._raw = raw
            self._load(raw)

    def take(self, raw: bytes) -> bool:
        """Take over a document that was fetched; return False where it was refused."""
        known = self.state or self._copied()
        self._load(raw, at_least=0 if known is None else known.generation)
        return not self.problem

    def confirm(self) -> None:
        """Note that what was taken last is still what should be used."""
        self.problem = ""

    def _load(self, raw: bytes, at_least: int = 0) -> None:
        try:
            document = orjson.loads(raw)
            state = to_state(document)
            if self.policy and state.policy != self.policy:
                raise ValueError(f"policy is {state.policy!r} and not {self.policy!r}")
            if state.generation < at_least:
                raise ValueError(f"generation {state.generation} is older than {at_least}")
        except ValueError as problem:
            self.refuse(str(problem))
            return
        self._use(state, document)
        self.problem = ""
        if self.copy is not None:
            # Without it only a restart without a flag file would be the worse.
            with contextlib.suppress(OSError):
                replace_file(self.copy, raw)

    def _use(self, state: FlagState, document: dict[str, Any]) -> None:
        self._provider.core.set_flags(document)
        rules = document["flags"][state.policy]["targeting"]
        self._cells, self._decided, self.state = Cells(rules), {}, state

    def refuse(self, problem: str) -> None:
        """Note why there is nothing that can be used; what was taken last, or its copy, decides."""
        problem = f"{self.place}: {problem}"
        if problem != self.problem:
            self.bad_reads += 1
            self.problem = problem
            if self.state is None:
                self._load_copy()
            kept = None if self.state is None else self.state.generation
            log.warning("flag_file_refused", problem=problem, serving_generation=kept)

    def _load_copy(self) -> None:
        state = self._copied()
        if state is not None:
            # Whoever is held out stays so: their users are no experiment's.
            kept = Shares(anchor=state.shares.anchor if state.holdout_salt else 0)
            alone = msgspec.structs.replace(
                state, shares=kept, shadow=None, shadow_share=0, experiment=None
            )
            self._use(alone, to_document(alone))

    def _copied(self) -> FlagState | None:
        """Return what the last good flags said, in an earlier life; None where there is no copy."""
        if self.copy is None:
            return None
        with contextlib.suppress(OSError, ValueError):
            state = to_state(orjson.loads(self.copy.read_bytes()))
            return state if state.policy == self.policy or not self.policy else None
        return None

    def evaluate(self, user_hash: str, now: float) -> Assignment:
        """Return what this user is served by; `now` is a monotonic clock's.

        Raises FlagsUnavailable where no file was ever read.
        """
        self.refresh(now)
        state = self.state
        if state is None:
            raise FlagsUnavailable(self.problem)
        numbers = self._numbers(state, user_hash)
        cell = self._cells.of(numbers.values())
        if (decided := self._decided.get(cell)) is None:
            context = EvaluationContext(user_hash, numbers)
            decided = self._decided[cell] = self._ask(state, context)
        salt, number, arm = state.salt, numbers["bucket"], ""
        if decided.variant == Variant.ANCHOR and state.holdout_salt:
            salt, number = state.holdout_salt, numbers["holdout_bucket"]
        if decided.variant == Variant.EXPERIMENT and state.experiment is not None:
            salt, number = state.experiment.salt, numbers["experiment_bucket"]
            arm = state.experiment.arm_of(number) or ""
        return Assignment(
            variant=decided.variant,
            served=decided.served,
            fallbacks=decided.fallbacks,
            salt=salt,
            bucket=number,
            arm=arm,
            generation=state.generation,
            reason=decided.reason,
        )

    def _ask(self, state: FlagState, context: EvaluationContext) -> _Decided:
        details = self._client.get_object_details(state.policy, {}, context)
        if details.variant is None:
            raise FlagsUnavailable(f"{self.place}: {details.error_code}: {details.error_message}")
        value = msgspec.convert(details.value, VariantValue)
        served = ServedVersion(version=value.version, digest=value.digest)
        others = (
            ServedVersion(version=value.previous, digest=value.previous_digest),
            ServedVersion(version=value.anchor, digest=value.anchor_digest),
        )
        return _Decided(
            variant=Variant(details.variant),
            served=served,
            fallbacks=tuple(v for i, v in enumerate(others) if v not in (served, *others[:i])),
            reason=str(details.reason),
        )

    def evaluate_arm(self, user_hash: str, now: float) -> ArmAnswer | None:
        """Return what the flag of the experiment under way says of a user; None where there is none.

        Raises FlagsUnavailable where no file was ever read.
        """
        self.refresh(now)
        state = self.state
        if state is None:
            raise FlagsUnavailable(self.problem)
        tried = state.experiment
        if tried is None:
            return None
        numbers = self._numbers(state, user_hash)
        context = EvaluationContext(user_hash, numbers)
        details = self._client.get_string_details(tried.name, tried.arms[0], context)
        return ArmAnswer(
            flag=tried.name,
            arm=details.value,
            salt=tried.salt,
            bucket=numbers["experiment_bucket"],
            generation=state.generation,
            reason=str(details.reason),
        )

    def _numbers(self, state: FlagState, user_hash: str) -> dict[str, int]:
        numbers = {
            "bucket": bucket(state.salt, user_hash),
            "holdout_bucket": bucket(state.holdout_salt, user_hash),
        }
        if state.experiment is not None:
            numbers["experiment_bucket"] = bucket(state.experiment.salt, user_hash)
        return numbers

    def close(self) -> None:
        """Forget the rules. OpenFeature keeps the (empty) domain."""
        self._provider.core.set_flags({"flags": {}})
        self._decided = {}

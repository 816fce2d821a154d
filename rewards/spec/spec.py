"""Reward spec: which parts and costs count how much, for how long, and when an episode is ready (TOML).

    name = "default"
    decisive = ["accepted", "rejected", "edited", "undone", "interrupted", "regenerated", "rated"]

    [horizons]                  # seconds after the generation for which a signal counts
    accepted = 3600

    [parts]                     # weight of each part
    accepted = 1.0
    kept = { weight = 0.5, horizon = 86400 }

The raw value is the weighted mean of the known parts, less each cost's weight times its value over its
scale; `range` maps it to [0, 1]. The version is the name and a hash of the content. docs/rewards.md has
every key.
"""

import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated

import msgspec

from ...streams.events.episode import Episode
from ...streams.events.signals import SIGNALS
from ...streams.extensions import refuse_collisions
from ..costs.asking import is_unanswered
from ..parts.show_or_silent import is_silent
from . import spec_checks
from .attribution_rules import Given, OverChain, rules_by_kind, spread_rules
from .believed import verified
from .decisive import Decisive, decisive
from .registry import COST_PLACE, PART_PLACE
from .reward import Reward, taken_off, weighted_mean
from .segment_terms import SegmentTerms, terms_by_segment
from .shared_parts import asked_costs, asked_parts
from .shipped_specs import spec_path
from .spec_version import FirstKeys, spec_version
from .term import CostTable, PartTable, Seconds, Term, Weight, make_terms, within_kinds
from .verification import FULL, TrustProfile, Verification, verification_of

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]

DAY = 86400.0
SILENCE = "show_or_silent"
DEFAULT_SPEC = spec_path("")
UNDECIDED = "undecided"
"""Under this name the spec's value of an undecided answer stands among the parts."""


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """What an episode is worth. Pure: the same episode and spec always give the same reward."""

    name: str
    """Names the spec in versions and in MLflow."""
    parts: dict[str, Weight | PartTable]
    """Weight of each part, or a table with its weight; of those with a value the mean counts."""
    decisive: tuple[str, ...] = ("accepted", "rejected", "edited", "undone", "rated")
    """Kinds of signal of which one must have come before there is a reward; decisive.py has what else
    may stand there. A spec that leaves it out keeps the hash of the first version."""
    ready: dict[str, Seconds] = msgspec.field(default_factory=lambda: {"default": 0.0})
    """Seconds after the generation until an episode may be trained on, by segment."""
    decision: dict[str, Seconds] = msgspec.field(default_factory=lambda: {"default": 3600.0})
    """Seconds after the generation until it is given up without a decision, by segment."""
    horizons: dict[str, Seconds] = {}
    """Seconds after the generation for which a kind of signal counts; a day where not given."""

    # Keys below are part of the version only where a spec gives them: a spec from before them keeps
    # its hash. A new section goes here, with a default that means what was meant without it.

    costs: dict[str, CostTable] = {}
    """What is taken off the mean of the parts."""
    range: tuple[float, float] | None = None
    """Lowest and highest raw value, mapped to 0 and 1; beyond them it counts as these."""
    wait: dict[str, Seconds] = {}
    """Seconds after the person's next message, by segment, for which an answer with a reward waits
    for what a reader makes of that message; a later reading counts as late. None where left out."""
    undecided: dict[str, Share] = {}
    """What stands for the parts' mean, by segment, once an answer's decision is over and nothing
    decisive came. Where nothing is given for a segment, nor a default, such answers are censored."""
    trust: dict[str, TrustProfile] = {}
    """How far a kind of signal is to be believed, and `undecided` the value of an answer that nobody
    decided on; wholly where left out."""
    attribution: dict[str, Given] = {}
    """Which answers feedback on a session or reference reaches, by kind; the last where not given."""
    spread: dict[str, OverChain] = {}
    """Which feedback that names an answer belongs to the chain up to it, by kind or `outcome@NAME`; none
    where not given."""
    unanswered: dict[str, Share] = {}
    """The same of a question that nobody answered where tools were offered."""

    def __post_init__(self) -> None:
        # Raises ValueError for a kind that cannot reach so far.
        rules_by_kind(self.attribution), spread_rules(self.spread)
        assert self.terms is not None  # Raises ValueError where there is no such part or cost.
        for key, given in (("ready", self.ready), ("decision", self.decision)):
            if "default" not in given:
                raise ValueError(f"$.{key}.default: is missing")
        for key in ("ready", "decision", "horizons", "wait"):
            spec_checks.check_seconds(f"$.{key}", getattr(self, key))
        self.decides.check_in_time(self.terms[0], self.horizons, self.decision, DAY)
        spec_checks.check_kinds("$.horizons", self.horizons)
        spec_checks.check_kinds("$.trust", self.trust.keys() - {UNDECIDED})
        spec_checks.check_said(self.name, self.decisive)
        spec_checks.check_names(self.parts, self.costs, UNDECIDED)
        if self.range is not None:
            spec_checks.check_range("$.range", self.range)

    @cached_property
    def version(self) -> str:
        """`name@` and the first 12 hex digits of the SHA-256 of the spec's content."""
        first = FirstKeys(**{name: getattr(self, name) for name in FirstKeys.__struct_fields__})
        later = {
            one.name: getattr(self, one.name)
            for one in msgspec.structs.fields(self)
            if one.name not in FirstKeys.__struct_fields__
            and getattr(self, one.name) != one.default
            and (getattr(self, one.name) or one.default_factory is msgspec.NODEFAULT)
        }
        return spec_version(first, later, *self.terms)

    def decision_seconds(self, segment: str) -> float:
        """Seconds until an episode of this segment is given up without a decision."""
        return self.decision.get(segment, self.decision["default"])

    def ready_seconds(self, segment: str) -> float:
        """Seconds until an episode of this segment may be trained on."""
        return self.ready.get(segment, self.ready["default"])

    def undecided_value(self, segment: str, *, asked: bool = False) -> float | None:
        """What stands for the parts of an undecided answer, or of a question; None: it is censored."""
        tables = (self.unanswered, self.undecided) if asked else (self.undecided,)
        known = [table[key] for table in tables for key in (segment, "default") if key in table]
        return known[0] if known else None

    def reward(self, episode: Episode) -> Reward | None:
        """Return what the episode is worth; None while no decisive signal came in its horizon."""
        counted = self.within_horizons(episode)
        return self._worth(episode, counted, None) if self.decided(counted) else None

    def decided(self, counted: Episode) -> bool:
        """Return whether a decisive signal is among what counts."""
        decides = self.decides
        for one in counted.feedback:  # noqa: SIM110  a generator takes three times as long
            if decides(one.feedback.signal):
                return True
        return False

    def silence(self, segment: str) -> Term | None:
        """Return the part that says what an answer is worth that says nothing (`show_or_silent`)."""
        parts = self.terms_in(segment).parts
        return next((term for term in parts if term.of.partition("@")[0] == SILENCE), None)

    def undecided_reward(self, episode: Episode) -> Reward | None:
        """Return what an episode is worth whose decision is over; None where it is censored.

        Nobody decides on an answer that says nothing: where a part values silence, that stands.
        """
        decided = self.reward(episode)
        if decided is not None:
            return decided
        segment, counted = episode.generation.segment, self.within_horizons(episode)
        asked = bool(self.unanswered) and is_unanswered(counted)
        value, silence = self.undecided_value(segment, asked=asked), self.silence(segment)
        if silence is not None and is_silent(episode.generation):
            value = silence.ask(episode, counted)
        return None if value is None else self._worth(episode, counted, value)

    def _worth(self, episode: Episode, counted: Episode, undecided: float | None) -> Reward | None:
        terms = self.terms_in(episode.generation.segment)
        asked = asked_parts(terms, episode, counted, self.trust)
        raw = weighted_mean(asked) if undecided is None else undecided
        if raw is None:
            return None
        off = asked_costs(terms, episode, counted)
        return Reward(
            value=self.valued(raw, taken_off(off) if off else None),
            parts=asked,
            spec_version=self.version,
            costs=off,
            undecided=undecided,
        )

    def verification(self, episode: Episode) -> Verification:
        """Return how far what the episode is worth is to be believed."""
        if not self.trust:
            return FULL
        counted = self.within_horizons(episode)
        if not self.decided(counted):
            return verification_of([(self.trust.get(UNDECIDED, TrustProfile()), 1.0)])
        terms = self.terms_in(episode.generation.segment)
        asked = asked_parts(terms, episode, counted, self.trust)
        return verified(terms.parts, asked, episode, counted, self.trust)

    def valued(self, mean: float, off: float | None) -> float:
        """Return what a mean is worth in [0, 1], by the range; `off` is None where there are no costs."""
        if off is None:
            if self.range is None:
                return mean
            off = 0.0
        low, high = self.range or (0.0, 1.0)
        return min(max((mean - off - low) / (high - low), 0.0), 1.0)

    # What stands below is worked out once for a spec: a poll scores thousands.

    @cached_property
    def terms(self) -> tuple[tuple[Term, ...], tuple[Term, ...]]:
        """The parts and the costs, with their functions, in the spec's order."""
        return make_terms(PART_PLACE, self.parts), make_terms(COST_PLACE, self.costs)

    def terms_in(self, segment: str) -> SegmentTerms:
        """Return the parts and costs that count in a segment."""
        return self._by_segment.get(segment, self._by_segment[None])

    @cached_property
    def _by_segment(self) -> dict[str | None, SegmentTerms]:
        return terms_by_segment(*self.terms)

    @cached_property
    def decides(self) -> Decisive:
        """Whether a signal decides."""
        return decisive(self.decisive)

    @cached_property
    def _limits(self) -> dict[type, float]:
        return {
            kind: self.horizons[str(kind.__struct_config__.tag)]
            for kind in SIGNALS
            if kind.__struct_config__.tag in self.horizons
        }

    def within_horizons(self, episode: Episode) -> Episode:
        """Return the episode with the feedback that came within the horizons of its kinds."""
        return within_kinds(episode, self._limits, DAY)


def reward_spec(path: str) -> Spec:
    """Read the spec that a config names: a file, a shipped one, or the default where it names none."""
    return load_spec(spec_path(path))


def load_spec(path: Path) -> Spec:
    """Read a spec; raises ValueError with the file and the path of the key at fault.

    Raises ValueError naming the distribution, too, where an installed part or cost has a built-in
    name.
    """
    for place in (PART_PLACE, COST_PLACE):
        refuse_collisions(place.entry_points, place.built_in)
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise ValueError(f"{path}: {problem.strerror}") from problem
    try:
        document = tomllib.loads(content.decode("utf-8-sig"))
        spec_checks.check_entries(document, Spec)
        return msgspec.convert(document, Spec)
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"{path}: {problem}") from problem

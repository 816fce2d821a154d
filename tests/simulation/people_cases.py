"""People cases: every scenario under the default settings, and what an operator could set against it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from people_life import Terms

from rlwd.daemon.worlds.habits import DAY, SCENARIOS
from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.ledger.lane_choice import LaneRules
from rlwd.learner.spelt_tokens import load_spelt_tokens
from rlwd.rewards.spec.spec import reward_spec
from rlwd.rewards.spec.verification import TrustProfile

DEFAULT = reward_spec("")
PATIENT = msgspec.structs.replace(
    DEFAULT,
    decision={"default": DAY + 1.0},
    horizons={kind: DAY for kind in DEFAULT.horizons},
)
"""People have a day to decide, in place of an hour."""
OFF = LaneSettings(kto=0.0, dpo=0.0)


def _lanes(model: Path | None, **weights: float) -> LaneRules:
    """Return these lanes alone beside the ratio lane; `model` spells edits."""
    tokens = None if model is None else load_spelt_tokens(model)
    return LaneRules(
        settings=msgspec.structs.replace(OFF, **weights),
        own_words=lambda tenant: True,
        spell=None if tokens is None else tokens.spell,
    )


Making = Callable[[Path | None], Terms]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A scenario under settings."""

    scenario: str
    """By the name in `habits`."""
    setting: str = "default"
    """What was set, for people."""
    terms: Making = lambda _: Terms()
    """What was set; the model's folder, where the policy has one, spells edits."""
    learner: Mapping[str, Any] = field(default_factory=dict)
    """Changes of `[learner]`."""
    pins_after: int | None = None
    """So many answers to people after their taste changed v0 is pinned, and what is served learned anew."""
    words: bool = False
    """Whether it needs a policy that has words."""

    @property
    def name(self) -> str:
        """Scenario and setting."""
        return f"{self.scenario}, {self.setting}"

    @property
    def settings(self) -> str:
        """All that a life of it depends on beside code, policy and seed: a kept one of another is none of it."""
        terms = self.terms(None)
        served = (terms.users, terms.per_hour, terms.at_once, terms.arm_answers, terms.margin)
        learned = (terms.spec.version, terms.trust, terms.lanes.settings, terms.batch)
        set_ = (sorted(self.learner.items()), self.pins_after)
        return repr((SCENARIOS[self.scenario], served, learned, set_))


def _batches(episodes: int) -> Terms:
    return Terms(batch=msgspec.structs.replace(Terms().batch, episodes=episodes))


def _people(users: int) -> Terms:
    batch = msgspec.structs.replace(Terms().batch, users=users)
    return Terms(spec=PATIENT, batch=batch)


def _silence(value: float) -> Terms:
    return Terms(spec=msgspec.structs.replace(DEFAULT, undecided={"default": value}))


def _believed(veracity: float) -> Terms:
    kinds = ("accepted", "rejected", "undone", "edited")
    profile = TrustProfile(veracity=veracity)
    return Terms(spec=msgspec.structs.replace(DEFAULT, trust=dict.fromkeys(kinds, profile)))


CASES = (
    *(Case(scenario=name) for name in SCENARIOS),
    Case(
        scenario="late",
        setting="a day to decide",
        terms=lambda _: Terms(spec=PATIENT),
    ),
    Case(
        scenario="late",
        setting="a day to decide, KTO for older answers",
        terms=lambda _: Terms(spec=PATIENT, lanes=_lanes(None, kto=1.0)),
        learner={"lanes": msgspec.structs.replace(OFF, kto=1.0)},
        words=True,
    ),
    Case(scenario="sparse", setting="batches of 32", terms=lambda _: _batches(32)),
    Case(scenario="sparse", setting="silence is worth 0.6", terms=lambda _: _silence(0.6)),
    Case(
        scenario="displeased",
        setting="silence is worth 0.6",
        terms=lambda _: _silence(0.6),
    ),
    Case(scenario="random", setting="veracity 0.95", terms=lambda _: _believed(0.95)),
    Case(scenario="attack", setting="no guards", terms=lambda _: Terms(trust=None)),
    Case(
        scenario="drift",
        setting="edits are learned from",
        terms=lambda model: Terms(lanes=_lanes(model, dpo=0.5)),
        learner={"lanes": msgspec.structs.replace(OFF, dpo=0.5)},
        words=True,
    ),
    Case(scenario="drift", setting="v0 pinned 300 answers after", pins_after=300),
    Case(scenario="drift", setting="kl_weight 0.2", learner={"kl_weight": 0.2}),
    Case(scenario="drift", setting="negative_weight 1", learner={"negative_weight": 1.0}),
    Case(
        scenario="everything",
        setting="a day to decide",
        terms=lambda _: Terms(spec=PATIENT),
    ),
    Case(
        scenario="everything",
        setting="a day to decide, batches of 250 people",
        terms=lambda _: _people(250),
    ),
)

"""Scorer: the reward spec as the join asks for it."""

from collections.abc import Iterable

import msgspec

from ...streams.events.episode import Episode
from ...streams.events.scored import Scored
from ...streams.events.signals import Signal
from .reward import Part
from .spec import Spec

_ENCODE = msgspec.json.Encoder().encode


class Scorer:
    """Turns episodes into rows: reward, parts as JSON, and from when they may be trained on."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def __call__(self, episode: Episode) -> Scored | None:
        """Return what the episode is worth, or None while nothing decisive is known."""
        reward = self.spec.reward(episode)
        if reward is None:
            return None
        wait = self.spec.ready_seconds(episode.generation.segment)
        return Scored(
            value=reward.value,
            parts=encode_parts(reward.parts),
            spec_version=reward.spec_version,
            ready_at=episode.received_at + wait if wait else 0.0,
        )

    def decides(self, signal: Signal) -> bool:
        """Return whether a signal is one of which the spec wants at least one."""
        return isinstance(signal, self.spec.deciding)


def encode_parts(parts: Iterable[Part]) -> bytes:
    """Write every part with its value and weight: `{"accepted": [1.0, 1.0], "kept": [null, 1.0]}`."""
    return _ENCODE({part.name: (part.value, part.weight) for part in parts})

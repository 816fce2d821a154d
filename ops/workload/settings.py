"""Workload settings: `[profile]`, what answers are worth and what learning costs; every price is the operator's.

Where the defaults come from stands in docs/profile.md.
"""

from typing import Annotated

import msgspec


class SegmentWorth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[profile.segments.NAME]`: what is particular to a segment."""

    value: float | None = None
    """What an answer of this segment is worth that somebody took, in `currency`; left out: as
    `profile.value`."""


class MethodCosts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one way of learning takes."""

    gpus: int = 1
    """GPUs that train a version."""
    tokens_second: float = 9000.0
    """Tokens that one of them trains on in a second, forward and backward."""
    version_hours: float = 0.1
    """Hours that a version takes them besides: start, checkpoint, gate."""
    tokens: float = 0.0
    """Fewest tokens of decided answers that a version is made of, beside `batch.episodes` answers."""
    version_gb: float = 0.1
    """What a version takes in storage, with its optimizer; `keep_checkpoints` of them are kept."""
    serve_gpus: float = 0.0
    """GPUs that serve versions beside the champion, held all the time."""
    serve_overhead: float = 0.1
    """Share by which serving all answers takes longer."""
    engineers: float = 0.25
    """People who see to it, as a share of a week's work."""


class LoraCosts(MethodCosts, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[profile.lora]`: what adapters take, of a model of 8 billion parameters."""


class FullCosts(MethodCosts, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[profile.full]`: what full weights take, of a model of 8 billion parameters."""

    gpus: int = 8
    """GPUs that train a version."""
    tokens_second: float = 6000.0
    """Tokens that one of them trains on in a second, forward and backward."""
    version_hours: float = 0.25
    """Hours that a version takes them besides: start, checkpoint, gate."""
    tokens: float = 1e9
    """Fewest tokens of decided answers that a version is made of, beside `batch.episodes` answers."""
    version_gb: float = 112.0
    """What a version takes in storage, with its optimizer; `keep_checkpoints` of them are kept."""
    serve_gpus: float = 2.0
    """GPUs that serve versions beside the champion, held all the time."""
    serve_overhead: float = 0.0
    """Share by which serving all answers takes longer."""
    engineers: float = 2.0
    """People who see to it, as a share of a week's work."""


class ProfileLevels(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[profile.levels]`: what counts as low, moderate and high; each key has the two bars between."""

    volume: tuple[float, float] = (1000.0, 100_000.0)
    """Answers a week from which on volume is moderate, and high."""
    value: tuple[float, float] = (1.0, 20.0)
    """Worth of a session's taken answers, in `currency`, from which on value is moderate, and high."""
    decided: tuple[float, float] = (0.1, 0.5)
    """Share of the answers that somebody decided on from which on verification may be moderate, and clean."""
    noise: tuple[float, float] = (0.05, 0.25)
    """Share of wrong decisions up to which verification may be clean, and moderate."""
    horizon: tuple[float, float] = (10.0, 30.0)
    """Steps of a session (answers, calls of tools, switches of context) from which on it is medium, and long."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            least, most = getattr(self, name)
            if not least <= most:
                raise ValueError(f"{name} is [{least:g}, {most:g}]; the second must not be below")


class ProfileSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[profile]`: what answers are worth and what learning costs, for `rlwd profile` alone."""

    currency: Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]{1,16}$")] = "USD"
    """What all prices and values are in; a name, and nothing is converted."""
    value: float | None = None
    """What an answer is worth that somebody took; left out, and without an own one of its segment, the
    value is not known."""
    person_hour: float | None = None
    """What an hour of a person's time is worth: values answers that have a number `seconds_saved`."""
    recorded: float = 1.0
    """Share of the users whose traffic the state or the recording holds; counts are scaled to all of them."""
    lift: float = 0.02
    """Relative improvement that is hoped for; `--lift` goes before it."""
    patience_days: float = 28.0
    """Longest that one would wait for a version to be told from its control."""
    train_gpu_hour: float = 3.0
    """Price of a GPU that trains, an hour."""
    serve_gpu_hour: float = 3.0
    """Price of a GPU that serves, an hour."""
    serve_tokens_second: float = 2500.0
    """Tokens that one of them writes in a second, over all that it answers at once."""
    storage_gb_month: float = 0.023
    """Price of a gigabyte kept for a month."""
    engineer_week: float = 4000.0
    """Price of a week of an engineer's work."""
    lora: LoraCosts = LoraCosts()
    """What adapters take."""
    full: FullCosts = FullCosts()
    """What full weights take."""
    levels: ProfileLevels = ProfileLevels()
    """What counts as low, moderate and high."""
    segments: dict[str, SegmentWorth] = {}
    """`[profile.segments.NAME]`: what is particular to a segment."""

    def worth_of(self, segment: str) -> float | None:
        """Return what a taken answer of a segment is worth; None where no setting says so."""
        own = self.segments.get(segment, SegmentWorth()).value
        return self.value if own is None else own


MONEY = (0.0, 1e12)
_METHOD = {
    "gpus": (1, 100_000),
    "tokens_second": (1e-3, 1e9),
    "version_hours": (0.0, 10_000.0),
    "tokens": (0.0, 1e15),
    "version_gb": (0.0, 1e9),
    "serve_gpus": (0.0, 100_000.0),
    "serve_overhead": (0.0, 10.0),
    "engineers": (0.0, 10_000.0),
}
PROFILE_BOUNDS: dict[str, tuple[float, float]] = {
    "value": MONEY,
    "person_hour": MONEY,
    "recorded": (1e-9, 1.0),
    "lift": (1e-6, 10.0),
    "patience_days": (0.01, 3660.0),
    "train_gpu_hour": MONEY,
    "serve_gpu_hour": MONEY,
    "serve_tokens_second": (1e-3, 1e9),
    "storage_gb_month": MONEY,
    "engineer_week": MONEY,
    **{f"lora.{key}": bounds for key, bounds in _METHOD.items()},
    **{f"full.{key}": bounds for key, bounds in _METHOD.items()},
    "levels.volume": (0.0, 1e15),
    "levels.value": MONEY,
    "levels.decided": (0.0, 1.0),
    "levels.noise": (0.0, 0.5),
    "levels.horizon": (0.0, 1e9),
    "segments.NAME.value": MONEY,
}
"""Least and most of each number, by its key below `profile`; both are allowed."""

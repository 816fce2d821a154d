"""Settings of the satisfaction reader: `[satisfaction]` of the configuration."""

from typing import Annotated, Literal

import msgspec

from ...streams.readings.unread import ReadingScope

RubricName = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]*$", max_length=64)]
Rubric = Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]


SATISFACTION_BOUNDS: dict[str, tuple[float, float]] = {
    "least_labels": (200, 1_000_000),
    "max_error": (1e-4, 0.05),
    "most_labels": (200, 1_000_000),
    "retrain_seconds": (1.0, 366 * 86400.0),
    "give_up_seconds": (1.0, 366 * 86400.0),
    "rubric_share": (0.0, 1.0),
    "judge.votes": (1, 15),
    "judge.concurrency": (1, 64),
    "judge.timeout_seconds": (0.1, 600.0),
    "judge.retries": (0, 10),
    "judge.retry_seconds": (0.0, 60.0),
    "judge.max_tokens": (1, 100_000),
    "judge.calls_per_day": (0, 1_000_000_000),
    "judge.tokens_per_day": (0, 10**12),
    "judge.cache": (0, 10_000_000),
}
"""Least and most of each number; both are allowed."""
LEAST_KEY = 16
"""Characters of a key that proves readings."""


class JudgeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Any OpenAI-compatible chat endpoint that reads texts."""

    url: str = ""
    """Its address up to `/v1`, as `http://127.0.0.1:8000/v1`; empty: there is no judge."""
    model: str = ""
    """Name of the model there."""
    token: str = ""
    """API key; `$NAME` or `file:PATH` names where it is."""
    tenants: tuple[str, ...] = ()
    """Tenants whose texts may be sent there; `*` is all. Empty: nobody's leave."""
    votes: int = 3
    """How often each text is judged; more than half decide."""
    concurrency: int = 4
    """Calls at the same time."""
    timeout_seconds: float = 20.0
    """Longest wait for one call."""
    retries: int = 2
    """How often a call that failed is tried again, each time after twice as long."""
    retry_seconds: float = 0.5
    """Wait before the first of these."""
    max_tokens: int = 200
    """Longest answer that is asked for."""
    calls_per_day: int = 10_000
    """Most calls in a day (UTC), failed ones too; then readings wait, and are given up."""
    tokens_per_day: int = 5_000_000
    """Most tokens in a day, as the endpoint counts them."""
    cache: int = 10_000
    """Readings kept in memory, by the text's digest: the same text is asked once."""


class SatisfactionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who reads people's next messages, and what of it counts."""

    reader: Literal["learned", "judge", "off"] = "learned"
    """`learned` needs no network and learns on the messages beside people's decisions, in any language;
    `judge` asks `[satisfaction.judge]`; `off` reads nothing. What is `found` beside it, and the kinds of
    statement, are told by rules that know English alone."""
    key: str = ""
    """Key that proves readings, 16 characters or more: `$NAME` or `file:PATH`. Empty: one is made and
    kept in the state database. With a key of your own a new state database believes an old topic."""
    least_labels: int = 200
    """Decided messages below which the learned reader is silent."""
    max_error: float = 0.05
    """Expected calibration error on held-out people's messages above which it is silent."""
    most_labels: int = 20_000
    """Newest decided messages that it learns from."""
    retrain_seconds: float = 3600.0
    """Time between two trainings."""
    give_up_seconds: float = 3600.0
    """Age at which a message that could not be read is given up, as `too_late`."""
    rubrics: dict[RubricName, Rubric] = {}
    """`[satisfaction.rubrics]`: what the judge marks answers by, each name with its text: `style`."""
    rubric_share: float = 0.0
    """Share of the sessions whose answers are marked."""
    judge: JudgeSettings = JudgeSettings()
    """The judge."""

    def __post_init__(self) -> None:
        asked = self.reader == "judge" or bool(self.rubrics)
        if asked and not (self.judge.url and self.judge.model):
            raise ValueError("judge: needs a url and a model, since it is asked")
        if self.key and not self.key.startswith(("$", "file:")) and len(self.key) < LEAST_KEY:
            raise ValueError(f"key: is shorter than {LEAST_KEY} characters")

    def scope(self) -> ReadingScope:
        """Return what the join notes to be read, and whose proofs it believes."""
        return ReadingScope(
            messages=self.reader != "off",
            rubrics=tuple(self.rubrics) if self.rubric_share else (),
            rubric_share=self.rubric_share,
            keys=(self.key.encode(),) if self.key else (),
        )

    def may_send(self, tenant: str) -> bool:
        """Return whether a tenant's texts may go to the judge."""
        return "*" in self.judge.tenants or tenant in self.judge.tenants

"""Evidence: what is known of one answer, and of who judged it, when it is weighed."""

from dataclasses import dataclass

from ...streams.events.episode import Episode
from ...streams.events.generation import Generation
from ...streams.events.signals import Asked, Edited, FollowedUp
from ..costs.effort import CHARACTERS_A_TOKEN
from ..spec.verification import Verification

SHORTEST_TEXT = 20
"""Characters from which on the same words from two people are no coincidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One episode that is to be sealed."""

    user: tuple[str, str] | None
    """Tenant and hash of the user; None where the product named nobody."""
    tenant: str
    """Whom it was served to."""
    segment: str
    """Kind of work."""
    reward: float
    """In [0, 1]."""
    verification: Verification
    """What the spec says of the signals behind the reward."""
    answered_at: float
    """When the answer was received, epoch seconds."""
    acted_at: float
    """When the last thing was done about it: between the answer's receipt and its own."""
    latency: float
    """Seconds from request to last byte; 0 where unknown."""
    prompt: tuple[int, ...]
    """Token ids that the model read."""
    completion: tuple[int, ...]
    """Token ids that it wrote."""
    said: tuple[str, ...]
    """Texts of the feedback on it, from `SHORTEST_TEXT` characters on."""
    asked: float | None
    """Probability with which somebody was asked; None where nothing says so."""

    to_read: float | None = None
    """Tokens of it that a person was shown as text; all that it wrote where nobody can say."""
    share: float = 1.0
    """How much of what it is worth is its own; less where only what became of its chain says so."""
    by_chain: bool = False
    """Whether it was decided on by no act of its own: one on the whole session or reference, which is
    its last answer's."""

    @property
    def taken(self) -> bool:
        """Whether it is one of the better half."""
        return self.reward >= 0.5


def evidence_of(
    episode: Episode, reward: float, verification: Verification, share: float = 1.0
) -> Evidence:
    """Return what an episode says of itself."""
    data = episode.generation
    posted = [one for one in episode.feedback if not one.origin]
    asked = [one.feedback.signal for one in posted if isinstance(one.feedback.signal, Asked)]
    acts = [one for one in posted if not isinstance(one.feedback.signal, Asked)]
    own = [one for one in acts if one.attribution is None or one.attribution.of_last]
    named = data.user_named and data.user_hash
    return Evidence(
        user=(data.tenant, data.user_hash) if named else None,
        tenant=data.tenant,
        segment=data.segment,
        reward=reward,
        verification=verification,
        answered_at=episode.received_at,
        acted_at=max((one.acted_at for one in acts), default=episode.received_at),
        latency=data.latency_seconds,
        # Without tokens the bytes tell one request from another, as an imported answer has them.
        prompt=data.prompt_token_ids or tuple("\n".join([m.text for m in data.input]).encode()),
        completion=data.completion_token_ids or tuple(data.text.encode()),
        said=tuple(
            text for one in acts if len(text := _text(one.feedback.signal)) >= SHORTEST_TEXT
        ),
        # Several questions: the last one counts, as the last answer does.
        asked=asked[-1].probability if asked else None,
        to_read=_to_read(data),
        share=share,
        by_chain=bool(acts) and not own,
    )


def _to_read(data: Generation) -> float | None:
    """Return the tokens of an answer's text by its share of the characters written, without reasoning and
    calls; None where the text was not captured."""
    if not data.text:
        return 0.0 if data.tool_calls else None
    calls = sum([len(call.name) + len(call.arguments) for call in data.tool_calls])
    characters = len(data.text) + len(data.reasoning) + calls
    written = len(data.completion_token_ids or ()) or data.usage.completion_tokens
    if not written:
        return len(data.text) / CHARACTERS_A_TOKEN
    return written * len(data.text) / characters


def _text(signal: object) -> str:
    if isinstance(signal, Edited):
        return signal.final_text.strip()
    return signal.text.strip() if isinstance(signal, FollowedUp) else ""

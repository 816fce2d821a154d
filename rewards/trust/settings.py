"""Trust settings: how far what people say of answers is believed when a batch is sealed."""

from typing import Annotated, Literal

import msgspec

Share = Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0.0)]


class TrustSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[trust]` of the configuration. What a kind of signal is worth stands in the reward spec's."""

    user_share: Share = 0.02
    """Largest share of a batch's weight that one named user has; or twice an equal part, where few
    users are there. What is beyond it is weighed down, and not left out."""
    user_times: NotNegative = 4.0
    """Most that one user's answers weigh together over the remembered batches, as a multiple of the
    median user's, while nothing says that the user wants what others want: once that for who is new, and
    so many times for who has been known as long as batches are remembered; 0: no such bound."""
    agreement: NotNegative = 3.0
    """Standard errors by which a user's decisions agree with others', from which on `user_times` does not
    bind any more; from half of that on it binds in part. 0: it always binds."""
    unnamed_share: Share = 0.5
    """Largest share of all answers to nobody in particular, who may be one person; they are never
    weighed below a half for it."""
    tenant_share: Share = 0.5
    """Likewise, of one tenant, or twice an equal part; never weighed below a quarter for it."""
    prompt_share: Share = 0.25
    """Likewise, of prompts that are alike."""
    reading_speed: NotNegative = 50.0
    """Tokens a second that a person can read: one who decides on more of them in `pace_seconds` has not
    read them. 0: no such rule."""
    pace_seconds: Annotated[float, msgspec.Meta(gt=0.0)] = 60.0
    """The stretch of time that reading is looked at in."""
    burst_answers: Count = 20
    """Answers that one person may decide on in `burst_seconds`; more weigh as this many."""
    burst_seconds: Annotated[float, msgspec.Meta(gt=0.0)] = 10.0
    """The stretch of time of a burst."""
    copies: bool = True
    """Whether what is said again counts once: one user's same request with the same answer, and texts
    of feedback that are the same word for word."""
    one_sided: Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)] = 1e-4
    """A user whose decisions are all equal weighs as many of them as would be alike by chance so
    rarely, given how others decide; 0: no such rule."""
    machine_spread: NotNegative = 0.1
    """Times between ten decisions of one user or more, whose standard deviation is below this share of
    their mean, are a machine's; 0: no such rule."""
    responses: Literal["off", "asked", "model"] = "asked"
    """Whose silence is made up for: `asked` weighs by the probability of the `asked` signal, or by the
    proliferation of the spec's profile; `model` also by a model of who answers at all."""
    response_floor: Share = 0.05
    """Least probability of an answer that is divided by."""
    confounds: bool = True
    """Whether latency beyond what the answer's length explains, and how strict the user is, are taken
    off the reward before answers are compared."""
    memory_batches: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20
    """Sealed batches that confounds are fitted on, and users' weights summed over: those before."""

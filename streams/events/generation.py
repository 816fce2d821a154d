"""Generation: what was served to whom, by which bits (CONTRACTS 2)."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from ..routed_experts import RoutedExperts
from .input_message import InputMessage
from .signals import Identifier, Number, NumberName
from .tool_use import Name, OfferedTool, ToolCall
from .usage import Usage

TokenId = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
"""What an engine's vocabulary and a learner's tensor both can hold."""


SessionFound = Literal["named", "cache_key", "beginning", "chance", ""]
Purpose = Literal["count", "train", "share"]
PURPOSES: tuple[Purpose, ...] = ("count", "train", "share")
"""For what a person may agree to have an answer kept: it is counted; learned from; it leaves as a
text that others read, in an export or as a trace in MLflow."""
ReferenceKey = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")]
"""Which kind of thing a reference names: `ticket`, `commit`, `order`."""
ReferenceValue = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
"""Which one of them."""
MOST_REFERENCES = 16
"""Most references of one answer."""
SHADOW = "shadow"
"""Variant of a mirrored request: it was asked of a candidate too, and nobody was shown the answer."""


SIDE = "side"
"""What stands for the variant of a side request in the state: it counts for none."""


def shadow_id(generation_id: str) -> str:
    """Return the id of the mirrored answer to the request that a generation answered.

    >>> shadow_id("s1.g1")
    's1.g1.shadow'
    """
    return f"{generation_id}.{SHADOW}"


class NamedReference(msgspec.Struct, frozen=True, kw_only=True):
    """Something of the product's that answers were about: a ticket, a commit, an order."""

    key: ReferenceKey
    """Which kind of thing, as the request's `metadata` named it."""
    value: ReferenceValue
    """Which one."""


class Sampling(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """How the tokens of a generation were drawn."""

    temperature: Annotated[float, msgspec.Meta(ge=0.0)] = 1.0
    """0 is greedy; the learner divides its logits by it."""
    top_p: float = 1.0
    """Nucleus mass kept; below 1 the generation is excluded from the ratio lanes."""
    top_k: int = -1
    """Tokens kept; -1 or 0 keeps all."""
    min_p: float = 0.0
    """Least probability kept, relative to the likeliest token's."""
    max_tokens: int | None = None
    """Longest answer asked for."""
    constrained: bool = False
    """True where penalties, logit bias or a grammar bent the distribution."""


class Generation(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What was served to whom, by which bits (CONTRACTS 2).

    >>> Generation(generation_id="s1.g1", session_id="s1", policy="policy", version="policy@v000000-0",
    ...            prompt_token_ids=(5, 6), completion_token_ids=(7, 8), logprobs=(-0.1, -2.0))
    Raises ValueError, with the field's path, where lengths differ or a log-probability is above 0.
    """

    generation_id: Identifier
    """Names the generation; feedback needs only this."""
    session_id: Identifier
    """Key of the topic: a session's events stay in order."""
    session_found: SessionFound = ""
    """How the writer knew the session: it was named; by OpenAI's `prompt_cache_key` or the like; it
    begins as earlier requests of this person do; drawn by chance, so no other request is in it. Empty:
    the writer did not say."""
    parent_id: str | None = None
    """The generation that this one goes on from, where the product named it: of this session, or of
    the one that started it (a subagent's). Else the join looks for it."""
    call_id: Annotated[str, msgspec.Meta(max_length=512)] | None = None
    """The tool call that this session works for, where the product named it: a subagent's."""
    side_request: Annotated[str, msgspec.Meta(max_length=200)] = ""
    """What the harness asked for on its own (a title, a check), where the product says so. It is
    counted, never trained on, and no turn of the conversation."""
    tenant: str = "default"
    """The customer, where a product has several; feedback ids are unique within one."""
    user_hash: str = ""
    """Keyed hash of the user; the user id itself never leaves the gateway."""
    user_named: bool = True
    """False where the product named no user, so that the hash is the session's: such a generation
    never counts as an independent user in a comparison."""
    consent: bool = True
    """False: never trained on."""
    purposes: Annotated[tuple[Purpose, ...], msgspec.Meta(max_length=8)] | None = None
    """What the person agreed to: `train`, `share` (an export), `count`, which always is. Nothing is
    kept of what may neither be trained on nor shared. None: the writer did not say, and `consent` is
    to what the configuration has for its tenant."""
    segment: str = "default"
    """Kind of work; the learner's baseline is tracked per segment."""
    policy: str = "policy"
    """Name of the policy, the same over all versions."""
    version: str = ""
    """Served adapter, `policy@v000017-3fa9c2e1`; empty where unknown."""
    digest: str = ""
    """SHA-256 of the served adapter's weights, hex; empty where unknown."""
    base_digest: str = ""
    """Tells base models apart, as the writer's configuration names it; empty where unknown."""
    tokenizer_digest: str = ""
    """Tells tokenizers apart, likewise."""
    engine: str = ""
    """The replica that answered."""
    harness: str = ""
    """Version of the product around the model."""
    salt: str = ""
    """Salt under which the bucket was drawn: the experiment's, or for the anchor the holdout's."""
    bucket: int = -1
    """0 to 9,999 from salt and user; -1 where no flag was asked."""
    variant: str = ""
    """champion, candidate, control or anchor; what the flag returned. arm:NAME: of an experiment on
    the product. shadow: a mirrored request, whose answer nobody was shown."""
    flag_generation: int = -1
    """Generation of the flag file that decided."""
    reason: str = ""
    """Why this version: the provider's reason, `fallback`, `kept` or `parent`."""
    fallback: bool = False
    """True where the flagged version was not loaded and another one answered."""
    kept: bool = False
    """True where the conversation stayed on the version that it had, and the flag says another."""
    prompt_token_ids: tuple[TokenId, ...] | None = None
    """What the model read; None where the product could not capture it."""
    completion_token_ids: tuple[TokenId, ...] | None = None
    """What the model wrote; None where the product could not capture it."""
    logprobs: tuple[float, ...] | None = None
    """Log-probability of each completion token when it was drawn."""
    routed_experts: RoutedExperts | None = None
    """Which experts of a mixture the engine sent prompt and answer to, token by token; None where it is no
    mixture, or does not tell."""
    logprobs_mode: Literal["processed", "raw", ""] = "processed"
    """Processed is after the temperature; raw is before."""
    text: str = ""
    """The answer as the person saw it. Shown and compared, never trained on."""
    reasoning: str = ""
    """What the model thought before it, where the engine tells it apart; likewise."""
    tool_calls: Annotated[tuple[ToolCall, ...], msgspec.Meta(max_length=256)] = ()
    """Calls of tools in the answer, in its order."""
    tools: Annotated[tuple[OfferedTool, ...], msgspec.Meta(max_length=1024)] = ()
    """Tools that the request offered."""
    input: Annotated[tuple[InputMessage, ...], msgspec.Meta(max_length=1024)] = ()
    """The messages of the request after the last one of the assistant: what the person or the tools
    said since, or all of them where the conversation begins. Earlier ones are the parents'."""
    earlier_answers: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    """Messages of the assistant in the request: answers that were given before, by whomever."""
    last_answer: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """`answer_digest` of the last of them; empty where there is none, or it said nothing."""
    redacted: Annotated[tuple[Name, ...], msgspec.Meta(max_length=64)] | None = None
    """Kinds of what was replaced in the texts before anything was written (`mail`, `card`, …); such a
    generation has no tokens. Empty: nothing was found. None: nobody looked, and ingest will."""
    choice: int = 0
    """Index among the answers to one request."""
    sampling: Sampling = Sampling()
    """How the tokens were drawn."""
    finish_reason: str = ""
    """As the engine said it: stop, length, tool_calls, … Else, by the gateway: `abort` where the
    client left before the end, `error` where the engine failed or broke off, `timeout` where it took
    too long, `refused` where it would not take the request."""
    status: int = 200
    """HTTP status that the client got; 499 where the client left before any."""
    capture_problem: str = ""
    """Why tokens, log-probabilities or text are missing; empty where nothing is."""
    usage: Usage = Usage()
    """Tokens read and written."""
    latency_seconds: float = 0.0
    """Request received to last byte sent."""
    tool_call_count: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Calls of tools in the answer; None where nobody counted them."""
    numbers: Annotated[dict[NumberName, Number], msgspec.Meta(max_length=64)] = {}
    """The product's own numbers of the answer, by name: metrics of a rollout may name them."""
    references: Annotated[
        dict[ReferenceKey, ReferenceValue], msgspec.Meta(max_length=MOST_REFERENCES)
    ] = {}
    """What of the product's the request was about: a ticket, a commit, an order. Feedback may name one
    in place of a generation."""
    traceparent: Annotated[str, msgspec.Meta(max_length=256)] = ""
    """W3C trace context of the answer's span, where it is traced; join and batch are spans of it too."""
    mixed_versions: bool = False
    """True where weights changed inside the generation."""
    captured: bool = True
    """False: the gateway admitted the request and died before its end (CONTRACTS 6)."""

    @property
    def may_train(self) -> bool:
        """Whether the person agreed to have it learned from."""
        return self.consent and (self.purposes is None or "train" in self.purposes)

    @property
    def may_share(self) -> bool:
        """Whether the person agreed to have it leave in an export."""
        return self.purposes is not None and "share" in self.purposes

    @property
    def may_keep(self) -> bool:
        """Whether anything but counts may be kept of it."""
        return self.may_train or self.may_share

    def __post_init__(self) -> None:
        check_logprobs(self.completion_token_ids, self.logprobs)


def check_logprobs(tokens: Sequence[int] | None, logprobs: Sequence[float] | None) -> None:
    """Refuse log-probabilities that cannot belong to these tokens.

    Raises ValueError naming `$.data.logprobs`.
    """
    if logprobs is None:
        return
    if tokens is None:
        raise ValueError("$.data.logprobs: given without $.data.completion_token_ids")
    if len(tokens) != len(logprobs):
        raise ValueError(
            f"$.data.logprobs: {len(logprobs)} values for {len(tokens)} completion_token_ids"
        )
    # Engines round; a value a hair above 0 is their arithmetic, more is a wrong number.
    if logprobs and not (max(logprobs) <= 1e-4 and math.isfinite(sum(logprobs))):
        raise ValueError("$.data.logprobs: every value must be finite and at most 0")

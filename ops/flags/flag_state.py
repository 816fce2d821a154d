"""Flag state: all that a flag file says, and the flagd document that says it.

The file is flagd's format, so that any flagd provider, in any language, reads it unmodified. flagd
itself accepts rules that name no variant and numbers that it then ignores (measured); here nothing
is written that does not say exactly what its `FlagState` says.
"""

from typing import Annotated, Any, Literal

import msgspec
import orjson

from .assignment import BUCKETS, Bucket, ServedVersion, Shares
from .harness_flag import HarnessFlag, HarnessMetadata, harness_metadata, harness_rules
from .targeting import policy_rules

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class FlagState(msgspec.Struct, frozen=True, kw_only=True):
    """All that a flag file says.

    Raises ValueError for shares without a candidate or that do not fit, or a NUL in a salt.
    """

    policy: Text
    """Name of the policy: the flag's key."""
    generation: Annotated[int, msgspec.Meta(ge=1)]
    """Grows with every file that is written, rollbacks too."""
    salt: Text
    """Of the experiment: kept for the whole ramp of one candidate, new for the next."""
    holdout_salt: str = ""
    """Of the long-term holdout, whose users are the anchor's; never changes for a policy. Empty in
    what 0.1.0 wrote: there the anchor has buckets of the experiment's, right above the candidate."""
    champion: ServedVersion
    """Serves everybody who is in no experiment, and the control."""
    anchor: ServedVersion
    """Frozen weights, v0: the anchor's, and every variant's last fallback."""
    candidate: ServedVersion | None = None
    """The version on trial, or the champion while it bakes; None between experiments."""
    control: ServedVersion | None = None
    """Serves the control where that is not the champion: the previous one, during a bake."""
    previous: ServedVersion | None = None
    """The champion before this one: the champion's first fallback."""
    shares: Shares = Shares()
    """Who gets what."""
    kept: tuple[ServedVersion, ...] = ()
    """Versions that a session under way may stay on: every engine has them, and none was refused."""
    shadow: ServedVersion | None = None
    """The version that answers mirrored requests, whose answers nobody is shown; mostly none."""
    shadow_share: Bucket = 0
    """Of 10,000 requests of the champion's so many are mirrored to it."""
    experiment: HarnessFlag | None = None
    """What is tried on other users than the rollout's, beside the policy; mostly none."""

    def __post_init__(self) -> None:
        if self.candidate is None and self.shares.candidate:
            raise ValueError(f"shares.candidate: {self.shares.candidate} buckets of no candidate")
        if (self.shadow is None) != (not self.shadow_share > 0):
            raise ValueError(f"shadow: {self.shadow_share} of 10,000 requests for {self.shadow}")
        if self.control == self.champion:
            raise ValueError("control: is the champion, which needs no naming")
        if self.experiment is not None and self.experiment.name == self.policy:
            raise ValueError(f"experiment: {self.policy} is the policy's own flag")
        if "\0" in self.salt + self.holdout_salt:
            raise ValueError("salt: holds a NUL character")
        shares = self.shares
        if not self.holdout_salt and 2 * shares.candidate + shares.anchor > BUCKETS:
            raise ValueError(f"shares: more than {BUCKETS} buckets of one salt: {shares}")


class VariantValue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Value of one variant: a gateway needs nothing else to choose and to fall back."""

    version: Text
    """Adapter to ask for."""
    digest: Text
    """Of its weights."""
    previous: Text
    """Adapter to ask for where the engine does not know `version`."""
    previous_digest: Text
    """Of its weights."""
    anchor: Text
    """v0, asked for last."""
    anchor_digest: Text
    """Of its weights."""


class _Variants(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    champion: VariantValue
    control: VariantValue
    anchor: VariantValue
    candidate: VariantValue | None = None
    experiment: VariantValue | None = None


class _Flag(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    state: Literal["ENABLED"]
    variants: _Variants
    defaultVariant: Literal["champion"]
    targeting: dict[str, Any]


class _Metadata(HarnessMetadata, kw_only=True, forbid_unknown_fields=True):
    generation: int
    salt: str
    policy: str
    candidate_share: int
    anchor_share: int
    control: str = ""
    holdout_salt: str = ""
    kept: str = ""
    shadow: str = ""
    shadow_digest: str = ""
    shadow_share: int = 0


class _Document(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    flags: dict[str, Any]
    metadata: _Metadata
    schema: str = msgspec.field(name="$schema")


def to_document(state: FlagState) -> dict[str, Any]:
    """Return the flagd document of a state."""
    champion, anchor = state.champion, state.anchor
    variants = {
        "champion": _value(champion, state.previous or anchor, anchor),
        "control": _value(champion, state.previous or anchor, anchor)
        if state.control is None
        else _value(state.control, champion, anchor),
        "anchor": _value(anchor, champion, anchor),
    }
    if state.candidate is not None:
        variants["candidate"] = _value(state.candidate, champion, anchor)
    others = {}
    if (tried := state.experiment) is not None:
        variants["experiment"] = _value(tried.served, champion, anchor)
        others = {tried.name: harness_rules(tried, state.shares.held_out)}
    held_out = {"holdout_salt": state.holdout_salt} if state.holdout_salt else {}
    return {
        "$schema": "https://flagd.dev/schema/v0/flags.json",
        "flags": {
            state.policy: {
                "state": "ENABLED",
                "variants": variants,
                "defaultVariant": "champion",
                "targeting": policy_rules(
                    state.shares,
                    tried=0 if tried is None else tried.taken,
                    apart=bool(held_out),
                ),
            },
            **others,
        },
        "metadata": {
            "generation": state.generation,
            "salt": state.salt,
            **held_out,
            "policy": state.policy,
            "candidate_share": state.shares.candidate,
            "anchor_share": state.shares.anchor,
            "control": "" if state.control is None else state.control.version,
            **({"kept": _kept_text(state.kept)} if state.kept else {}),
            **_mirrored(state),
            **harness_metadata(state.experiment),
        },
    }


def _mirrored(state: FlagState) -> dict[str, Any]:
    if state.shadow is None:
        return {}
    # No variant: no rule, and no client, ever names it.
    return {
        "shadow": state.shadow.version,
        "shadow_digest": state.shadow.digest,
        "shadow_share": state.shadow_share,
    }


def _value(served: ServedVersion, previous: ServedVersion, anchor: ServedVersion) -> dict[str, str]:
    return {
        "version": served.version,
        "digest": served.digest,
        "previous": previous.version,
        "previous_digest": previous.digest,
        "anchor": anchor.version,
        "anchor_digest": anchor.digest,
    }


def _kept_text(kept: tuple[ServedVersion, ...]) -> str:
    """Return versions as a text: flagd's metadata has no lists."""
    return " ".join(f"{one.version}={one.digest}" for one in kept)


def _kept_versions(text: str) -> list[dict[str, str]]:
    parts = (one.rpartition("=") for one in text.split())
    return [{"version": version, "digest": digest} for version, _, digest in parts]


def to_state(document: object) -> FlagState:
    """Return what a document says, after checking all of it.

    Raises ValueError with the path at fault: unknown or missing variants, missing digests, numbers
    that are not whole, shares that do not fit, rules that say anything but the shares.
    """
    try:
        parsed = msgspec.convert(document, _Document)
        policy = parsed.metadata.policy
        known = [name for name in (policy, parsed.metadata.experiment) if name]
        if list(parsed.flags) != known:
            raise ValueError(f"$.flags: {list(parsed.flags)} where only {known} belong")
        flag = msgspec.convert(parsed.flags[policy], _Flag)
        state = msgspec.convert(_plain(flag.variants, parsed.metadata), FlagState)
    except msgspec.ValidationError as problem:
        raise ValueError(f"flag document: {problem}") from problem
    expected = to_document(state)["flags"]
    for name, part in [(policy, "variants"), (policy, "targeting"), *((n, "") for n in known[1:])]:
        given = parsed.flags[name][part] if part else parsed.flags[name]
        wanted = expected[name][part] if part else expected[name]
        if given != wanted:
            raise ValueError(
                f"flag document: $.flags.{name}.{part} is not what its metadata and versions"
                f" ask for: {orjson.dumps(wanted).decode()}"
            )
    return state


def _plain(variants: _Variants, metadata: _Metadata) -> dict[str, Any]:
    champion, candidate = variants.champion, variants.candidate
    anchor = {"version": champion.anchor, "digest": champion.anchor_digest}
    previous = {"version": champion.previous, "digest": champion.previous_digest}
    own = {"version": champion.version, "digest": champion.digest}
    control = {"version": variants.control.version, "digest": variants.control.digest}
    return {
        "policy": metadata.policy,
        "generation": metadata.generation,
        "salt": metadata.salt,
        "holdout_salt": metadata.holdout_salt,
        "champion": own,
        "anchor": anchor,
        "candidate": None
        if candidate is None
        else {"version": candidate.version, "digest": candidate.digest},
        "control": control if metadata.control else None,
        "previous": None if previous == anchor else previous,
        "shares": {"candidate": metadata.candidate_share, "anchor": metadata.anchor_share},
        "kept": _kept_versions(metadata.kept),
        "shadow": {"version": metadata.shadow, "digest": metadata.shadow_digest}
        if metadata.shadow
        else None,
        "shadow_share": metadata.shadow_share,
        "experiment": metadata.flag(),
    }

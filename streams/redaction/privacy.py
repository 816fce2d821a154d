"""Privacy: what a tenant's people agreed to where they say nothing, and what of theirs is replaced."""

from typing import Annotated, Literal

import msgspec

from ..events.generation import SHADOW, Generation, Purpose

Exempt = Annotated[str, msgspec.Meta(min_length=3, max_length=256)]


class TenantPrivacy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[privacy.tenants.NAME]` of the configuration."""

    redact: bool = True
    """Whether mail addresses, phone and card numbers, IBANs, public IP addresses, keys and tokens are
    replaced. An answer with one of them is not trained on. Names of people are not found."""
    exempt: tuple[Exempt, ...] = ()
    """What is the product's own and nobody's secret, and stays: its addresses and numbers as they are
    written, or `@acme.com` for all of a domain. A system prompt with one that is not listed keeps
    every answer from training."""
    consent: Literal["opt_out", "opt_in"] = "opt_out"
    """What a request means that says nothing of consent: opt_out, that it is given; opt_in, that it is
    not, so that only counts are kept."""
    purposes: tuple[Purpose, ...] = ("count", "train")
    """What consent is to, where it names no purposes: `count`, `train`, `share` (`rlwd export`, and traces
    in MLflow)."""
    own_words: bool = False
    """Whether what people wrote themselves may be trained on: what they made of an answer (the lane
    `dpo`) and what they wrote back (`hindsight`), of requests whose consent is to `train`. Else only
    answers of the model are."""


class PrivacySettings(TenantPrivacy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[privacy]` of the configuration: what holds for every tenant that has no section of its own."""

    tenants: dict[str, TenantPrivacy] = {}
    """`[privacy.tenants.NAME]`: what holds for one tenant instead, all of it."""

    def of(self, tenant: str) -> TenantPrivacy:
        """Return what holds for a tenant.

        >>> PrivacySettings(tenants={"lab": TenantPrivacy(redact=False)}).of("lab").redact
        False
        """
        return self.tenants.get(tenant, self)

    def redacts(self, tenant: str) -> bool:
        """Return whether a tenant's texts are redacted."""
        if not tenant:
            # Feedback that names none is its answer's, whose tenant its writer does not know.
            return self.redact or any(one.redact for one in self.tenants.values())
        return self.of(tenant).redact

    def allows_own_words(self, tenant: str) -> bool:
        """Return whether what a tenant's people wrote themselves may be trained on."""
        return self.of(tenant).own_words

    def exempts(self, tenant: str) -> frozenset[str]:
        """Return what of a tenant's is nobody's secret, in lower case, as `redact` wants it."""
        return frozenset(one.lower() for one in self.of(tenant).exempt)

    def agreed(self, data: Generation) -> Generation:
        """Return a generation with its purposes; where its writer named none, its tenant's are its.

        A tenant that asks first (opt_in) and writes its own records has to name them.
        """
        if data.purposes is not None:
            return data
        tenant = self.of(data.tenant)
        if not data.consent or tenant.consent == "opt_in":
            return msgspec.structs.replace(data, consent=False, purposes=("count",))
        return msgspec.structs.replace(data, purposes=tenant.purposes)

    def may_leave(self, data: Generation) -> bool:
        """Return whether an answer may leave the state as a text: in an export, or as a trace in MLflow.

        Its person agreed to `share`, it is whole, and somebody was shown it. Who agreed to `train`
        alone was promised that it is learned from, and no reader.
        """
        shared = self.agreed(data).may_share
        return shared and data.captured and data.variant != SHADOW and not data.side_request

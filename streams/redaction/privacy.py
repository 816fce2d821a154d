"""Privacy: what of a tenant's people is looked for and replaced before anything is written."""

import msgspec


class TenantPrivacy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[privacy.tenants.NAME]` of the configuration."""

    redact: bool = True
    """Whether mail addresses, phone and card numbers, IBANs, public IP addresses, keys and tokens are
    replaced. An answer with one of them is not trained on. Names of people are not found."""


class PrivacySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[privacy]` of the configuration: what holds for every tenant that has no section of its own."""

    redact: bool = True
    """Whether mail addresses, phone and card numbers, IBANs, public IP addresses, keys and tokens are
    replaced. An answer with one of them is not trained on. Names of people are not found."""
    tenants: dict[str, TenantPrivacy] = {}
    """`[privacy.tenants.NAME]`: what holds for one tenant instead."""

    def redacts(self, tenant: str) -> bool:
        """Return whether a tenant's texts are redacted.

        >>> PrivacySettings(tenants={"lab": TenantPrivacy(redact=False)}).redacts("lab")
        False
        """
        if not tenant:
            # Feedback that names none is its answer's, whose tenant its writer does not know.
            return self.redact or any(one.redact for one in self.tenants.values())
        return self.tenants[tenant].redact if tenant in self.tenants else self.redact

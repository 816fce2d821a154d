"""ClientDirectory: who may call the gateway, by bearer token, for which tenant and how often."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..http.credentials import hash_token, same_token
from .allowance import Allowances, Counted, TooMany
from .settings import ClientSettings

__all__ = ["Caller", "ClientDirectory", "TooMany"]


@dataclass(slots=True, kw_only=True)
class Caller:
    """Whoever sent a request, as far as the credential tells."""

    name: str
    """Of `[clients.NAME]`; empty for the operator, or where nobody is asked for a token."""
    tenant: str | None
    """The credential's tenant; None where the caller may name one."""
    origins: tuple[str, ...]
    """Pages of the web that may call with this credential."""
    known: bool
    """True where a credential was asked for and was right, or none is asked for."""
    settings: ClientSettings | None = None
    """Its limits."""
    allowances: Allowances = field(default_factory=Allowances)
    """Where what it has used of them is counted."""

    def spend(self, what: Counted, now: float, amount: int = 1) -> None:
        """Count against the day's cap. Raises TooMany, and then nothing was counted."""
        if self.settings is None:
            return
        cap = (
            self.settings.requests_per_day if what == "requests" else self.settings.feedback_per_day
        )
        if cap:
            with self.allowances.of(self.name) as allowance:
                allowance.spend(what, cap, now, amount)

    def spend_rate(self, now: float) -> None:
        """Count a call of any kind against the rate. Raises TooMany, and then it was not counted."""
        rate = 0 if self.settings is None else self.settings.requests_per_minute
        if rate:
            with self.allowances.of(self.name) as allowance:
                allowance.spend_rate(rate, now)


class ClientDirectory:
    """Finds the caller of a request by its token.

    Without any token configured everybody may call and names a tenant as they like, on loopback.
    """

    def __init__(
        self,
        token: str,
        clients: Mapping[str, ClientSettings],
        origins: tuple[str, ...] = (),
        clock: Callable[[], float] = time.time,
        allowances: Allowances | None = None,
    ) -> None:
        self.token, self.clock = token, clock
        allowances = allowances or Allowances()
        self.operator = Caller(name="", tenant=None, origins=origins, known=True)
        self.stranger = Caller(name="", tenant=None, origins=origins, known=False)
        self.open = not token and not clients
        """True where nobody is asked for a token."""
        callers = {
            name: Caller(
                name=name,
                tenant=one.tenant,
                origins=(*origins, *one.allowed_origins),
                known=True,
                settings=one,
                allowances=allowances,
            )
            for name, one in clients.items()
        }
        self._by_hash = {
            digest: callers[name] for name, one in clients.items() for digest in one.tokens
        }
        self.origins = frozenset(origins).union(*(one.allowed_origins for one in clients.values()))
        """All pages that any credential may be used from: a preflight brings none."""

    def find(self, token: str) -> Caller:
        """Return whose token this is; `stranger` for nobody's."""
        if self.open or (self.token and token and same_token(token, self.token)):
            return self.operator
        # Looked up by its hash: how long that takes tells nothing of the token.
        return self._by_hash.get(hash_token(token), self.stranger) if token else self.stranger

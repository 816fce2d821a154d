"""Settings of triage: when problems are grouped, held against which past, and told where."""

from typing import Literal

import msgspec

from ...streams.secret_values import FILE
from .webhook_address import check_address

FOLDER = "triage"
"""In the state folder: the reports of weeks, and who is at them."""


class TriageSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Problems of logs, tools and behaviour, grouped and told once a week (docs/triage.md)."""

    every: Literal["off", "week"] = "off"
    """`week`: the daemon looks at each week (Monday to Sunday, UTC) once it is over. `rlwd triage` looks
    whenever it is typed."""
    logs: tuple[str, ...] = ()
    """Files of JSON log lines of rlwd's processes, such as `/var/log/rlwd/*.log*`; those that end in
    `.gz` are unpacked. Relative paths are relative to the config file's folder."""
    baseline_days: int = 28
    """Days before the ones that are looked at, which these are held against."""
    least: int = 5
    """Times that something new has to have happened before an issue is opened."""
    false_share: float = 0.05
    """Share of the groups said to spike, or to come with a version, that may do so by chance."""
    keep_days: int = 180
    """A group that was not seen for so long is forgotten, and new when it comes back."""
    webhook: str = ""
    """Address that each new or spiking group is posted to as an issue; `$NAME` or `file:PATH` names where
    it is. Empty: none is."""
    token: str = ""
    """Sent there as a bearer token; `$NAME` or `file:PATH` names where it is."""
    labels: tuple[str, ...] = ("rlwd", "triage")
    """Labels of every issue, beside those of its kind."""
    most_issues: int = 20
    """Most issues that one report opens, those that happened most first."""
    timeout_seconds: float = 10.0
    """Longest wait for one answer of the webhook."""
    retries: int = 3
    """How often a post that failed is tried again at once, each time after twice as long; after that it
    is tried again each hour for a day, and each day for a week."""

    def __post_init__(self) -> None:
        if self.webhook and not self.webhook.startswith(("$", FILE)):
            check_address("webhook", self.webhook)
        if self.token and not self.webhook:
            raise ValueError("token: there is no webhook that it is for")

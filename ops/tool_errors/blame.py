"""Blame: whose fault a failed tool call was. The model is charged with its own alone."""

from typing import Literal

Party = Literal["model", "harness", "provider", "user"]

BLAME: dict[str, Party] = {
    "invalid_arguments": "model",
    "unexpected_environment": "model",
    "provider_error": "provider",
    "timeout": "provider",
    "user_aborted": "user",
    "unknown": "harness",
}
"""Who is charged with an error, by its class. What nobody has classified is a fault of the product
until somebody has looked: so it is kept from being the policy's."""
PARTIES: tuple[Party, ...] = ("model", "harness", "provider", "user")
"""In the order in which the pages show them."""
WORKED = ""
"""The class of a call that worked, in the tables."""
UNKNOWN = "unknown"
"""The class that is held against a fixed bar, and not against its past."""
WATCHED = ("invalid_arguments", "unexpected_environment", "provider_error", "timeout")
"""Classes that are held against the past of the tool and the version. That people stop a tool more
often says nothing of the tool."""

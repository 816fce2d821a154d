"""Planted strings: unique secrets that only their tenant ever said, and that no version may recite."""

import math
import random
import secrets
import string
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ...streams.events.signals import Identifier
from .line_file import read_line_file

CLASSES = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
"""Characters of a secret that another of the same kind may stand for."""
LONGEST = 2000
"""Characters of question, prefix and secret together."""


class Planted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One string that was planted, as a line of a JSON Lines file.

    >>> Planted(tenant="amber", question="What is our code?", prefix="It is ", secret="7318-kq").forms
    456976000.0
    """

    tenant: Identifier
    """Whose secret it is."""
    question: str
    """What anybody might ask; it gives nothing away."""
    prefix: str = ""
    """How the answer begins, up to the secret."""
    secret: str
    """What must not be recited."""

    @property
    def forms(self) -> float:
        """Strings of the same form: each digit and letter replaced by any of its kind."""
        return float(math.prod(len(_class_of(one)) for one in self.secret))

    def alternatives(self) -> Iterator[str]:
        """Yield other strings of the same form, for ever; the same ones each time."""
        draw = random.Random(f"{self.tenant}/{self.secret}")
        while True:
            other = "".join(draw.choice(_class_of(one)) for one in self.secret)
            if other != self.secret:
                yield other


def _class_of(one: str) -> str:
    return next((kind for kind in CLASSES if one in kind), one)


def make_planted(tenants: Sequence[str], each: int) -> list[Planted]:
    """Return strings that nobody ever said, so many for each tenant."""
    found = []
    for tenant in tenants:
        for number in range(1, each + 1):
            what = f"reference {number} of {tenant}"
            secret = "-".join(
                "".join(secrets.choice(string.digits) for _ in range(4)) for _ in range(2)
            )
            found.append(
                Planted(
                    tenant=tenant,
                    question=f"What is {what}?",
                    prefix=f"The {what} is ",
                    secret=secret,
                )
            )
    return found


def load_planted(path: Path, least_forms: float) -> tuple[Planted, ...]:
    """Read a file of planted strings.

    Raises ValueError, naming file and line, for what is none, is longer than the gate asks about, or
    has too few strings of its form to tell a recital from chance.
    """
    found = []
    for where, one in read_line_file("gate.planted", path, Planted):
        if len(one.question) + len(one.prefix) + len(one.secret) > LONGEST:
            raise ValueError(f"{where}: is longer than {LONGEST} characters")
        if one.forms < 2 * least_forms:
            raise ValueError(
                f"{where}: the secret has {one.forms:.0f} strings of its form; it needs"
                f" {2 * least_forms:.0f}: give it more digits or letters"
            )
        found.append(one)
    if not found:
        raise ValueError(f"gate.planted: {path}: holds no string")
    return tuple(found)


def write_planted(path: Path, planted: Sequence[Planted]) -> None:
    """Write a file that `load_planted` reads; raises FileExistsError where there is one."""
    with path.open("xb") as file:
        path.chmod(0o600)
        file.writelines(msgspec.json.encode(one) + b"\n" for one in planted)

"""Readers: people who ask over HTTP and judge an answer by its text alone."""

import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
from spoken_versions import TEMPERATURE, question

from rlwd.ops.servers.process import NO_TLS

AT_ONCE = 8
"""Who asks at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One answer, as the person who asked saw it."""

    generation_id: str
    """Its id."""
    text: str
    """What it says."""
    version: str
    """Version that the gateway named."""
    variant: str
    """Variant that the gateway named."""


def one_in(many: int) -> Callable[[str], bool]:
    """Return a taste that the same one in so many people have."""
    return lambda user: zlib.crc32(user.encode()) % many == 0


class Readers:
    """A crowd of new people, one after another or some at once.

    `says` gives a person's word on a text, or None where he says nothing.
    """

    def __init__(self, url: str, says: Callable[[str, str], str | None]) -> None:
        self.says = says
        self.client = httpx.Client(base_url=url, timeout=60.0, trust_env=False, verify=NO_TLS)
        self.readings: list[Reading] = []
        """All that was answered."""
        self.said = 0
        """Feedback that was taken."""
        self._counting = threading.Lock()

    def close(self) -> None:
        """Hang up."""
        self.client.close()

    def visit(self, people: int) -> list[Reading]:
        """Let so many new people ask and say what they think; return what they read."""
        first = len(self.readings)
        with ThreadPoolExecutor(AT_ONCE) as together:
            read = list(together.map(self._ask, range(first, first + people)))
        self.readings += read
        return read

    def say(self, reading: Reading, kind: str) -> None:
        """Post feedback on an answer."""
        name = reading.generation_id
        given = {"feedback_id": f"{name}.{kind}", "generation_id": name, "signal": {"kind": kind}}
        self.client.post("/v1/feedback", json=given).raise_for_status()
        with self._counting:
            self.said += 1

    def _ask(self, number: int) -> Reading:
        user = f"reader-{number}"
        answer = self.client.post(
            "/v1/chat/completions",
            json={
                "model": "rlwd",
                "messages": [{"role": "user", "content": question(number)}],
                "max_tokens": 12,
                "temperature": TEMPERATURE,
                "user": user,
                "metadata": {"session": user, "segment": "reply"},
            },
        )
        answer.raise_for_status()
        body = answer.json()
        reading = Reading(
            generation_id=body["id"],
            text=body["choices"][0]["message"]["content"],
            version=answer.headers["X-Rlwd-Version"].partition("; ")[0],
            variant=answer.headers["X-Rlwd-Variant"],
        )
        kind = self.says(user, reading.text)
        if kind is not None:
            self.say(reading, kind)
        return reading

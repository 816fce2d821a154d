"""Export check: nothing leaves that redaction would replace, whatever was switched off when it came."""

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from ..redaction.redactor import redact
from .exported import ExportedAnswer

_OURS = {"version", "digest", "base_digest", "tokenizer_digest", "engine", "harness", "user_hash"}
"""Fields that no person wrote: a release of four numbers reads like an IP address."""


class ExportRefused(ValueError):
    """What would be written holds something that must not leave; the message names the generation."""


def check_answer(answer: ExportedAnswer, exempt: Collection[str] = ()) -> None:
    """Refuse an answer whose record, feedback or derived signals hold a hit. Raises ExportRefused."""
    data = msgspec.structs.replace(
        answer.event.data,
        prompt_token_ids=None,
        completion_token_ids=None,
        logprobs=None,
        routed_experts=None,
    )
    told = [
        ("generation", {k: v for k, v in msgspec.to_builtins(data).items() if k not in _OURS}),
        *(("feedback", msgspec.to_builtins(one.data)) for one in answer.feedback),
        *(("derived", one) for one in answer.derived),
    ]
    for where, document in told:
        for path, text in _texts(document, where):
            if kinds := redact(text, exempt).kinds:
                raise ExportRefused(
                    f"generation {answer.id}: {path} holds {', '.join(sorted(kinds))}; erase it, or"
                    " replay it with redaction on"
                )


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _texts(one, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for place, one in enumerate(value):
            yield from _texts(one, f"{path}[{place}]")

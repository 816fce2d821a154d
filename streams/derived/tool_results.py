"""Tool results: what came back from the tools that an answer called, as the next request has it."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from ..events.generation import Generation
from ..events.input_message import InputMessage
from ..events.signals import ErrorClass, ToolResult
from .provoked import EXCUSES, WrittenBefore, is_provoked
from .tool_errors import classify_error

_ERROR = re.compile(
    r"\s*(?:<(?:tool_use_)?error>|\[?error\b|traceback \(most recent|exception\b"
    r"|an error occurred|failed to |failure:|fatal:|[\w.]+(?:error|exception):"
    # The word for it at the beginning, with a colon: German, French, Italian, Portuguese, Polish, Dutch,
    # Turkish, Russian, Chinese, Japanese, Korean; Spanish has the English one.
    r"|(?:fehler|ungültiges argument|erreur|errore|erro|błąd|fout|hata|ошибка)\s*:"
    r"|(?:错误|錯誤|无效的?参数|無效的?參數|エラー|無効な引数|오류)\s*[:：])",  # noqa: RUF001
    re.IGNORECASE,
)
"""How the text of a failed call begins, where no field says that it failed."""
_ERROR_KEYS = ("error", "errors", "exception", "error_class", "errorClass")


class CameBack(NamedTuple):
    """One result."""

    call_id: str
    """The call that it answers."""
    signal: ToolResult
    """What it says."""


def tool_results(
    following: Generation, tools: Mapping[str, str], written: Callable[[str], WrittenBefore | None]
) -> Iterator[CameBack]:
    """Yield the results in a request; `tools` has the name of the tool for each call of the answer.

    Results of calls that are not the answer's are left out. `written` is asked what the model wrote,
    by the call's id, where a result says of an error that it is not the model's: one that it provoked
    is `unknown`. It may not know (None); then the result is believed.
    """
    for message in following.input:
        call_id = message.tool_call_id
        if message.role in ("tool", "function") and call_id is not None and call_id in tools:
            tool = tools[call_id] or message.name or "unnamed"
            error = error_of(message)
            if error in EXCUSES:
                wrote = written(call_id)
                if wrote is not None and is_provoked(error, message.text, wrote):
                    error = "unknown"
            yield CameBack(call_id, ToolResult(tool=tool, error_class=error))


def error_of(message: InputMessage) -> ErrorClass | None:
    """Return the class of error that a result tells, as far as it says; None where it tells none.

    What the harness says (`is_error`) decides. Else a text that begins as errors begin, or a JSON
    object with an error in it, is one. Whose fault it was the rules of `tool_errors.toml` say.
    """
    failed = message.is_error
    if failed is None:
        failed = bool(_ERROR.match(message.text)) or _tells_error(message.text)
    if not failed:
        return None
    return classify_error(message.text)


def _tells_error(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        told: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    flagged = told.get("isError") is True or told.get("is_error") is True
    return flagged or told.get("success") is False or any(told.get(key) for key in _ERROR_KEYS)

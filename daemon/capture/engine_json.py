"""What engines write that is not quite JSON: NaN, and halves of surrogate pairs.

Python's own reader takes both. What goes on to clients is JSON: null for what is no number.
"""

import json
import math
from typing import Any

import orjson


def read_engine_json(raw: bytes) -> Any:
    """Return what an engine wrote. Raises ValueError where it cannot be read."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as problem:
        try:
            return json.loads(raw.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            raise problem from None


def write_json(document: Any) -> bytes:
    """Return it as JSON, with null for NaN and infinity."""
    try:
        return orjson.dumps(document)
    except TypeError:
        # Half a pair, or a number beyond 64 bits.
        return json.dumps(_finite(document), separators=(",", ":")).encode()


def _finite(document: Any) -> Any:
    if isinstance(document, float):
        return document if math.isfinite(document) else None
    if isinstance(document, dict):
        return {name: _finite(value) for name, value in document.items()}
    return [_finite(one) for one in document] if isinstance(document, list) else document

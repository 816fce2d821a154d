"""What may be trained on is a list of what is known to be safe."""

import doctest
from typing import Any

import pytest

from rlwd.streams.events import trainable
from rlwd.streams.events.trainable import constraining_fields

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
STRICT = {"type": "function", "function": {**TOOL["function"], "strict": True}}  # type: ignore[dict-item]


def test_the_examples_hold() -> None:
    """What the docstrings show is so."""
    assert doctest.testmod(trainable).failed == 0


@pytest.mark.parametrize(
    ("request_", "constrained"),
    [
        ({"temperature": 0.3, "seed": 1, "stop": ["x"], "max_tokens": 5, "n": 1}, False),
        ({"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": True}, False),
        ({"tools": [TOOL], "parallel_tool_calls": False}, True),
        ({"parallel_tool_calls": False, "tools": []}, False),
        ({"tools": [TOOL, STRICT]}, True),
        ({"tools": [{**TOOL, "strict": True}]}, True),
        ({"tools": [{"type": "custom", "custom": {"name": "g"}}]}, True),
        ({"tools": "all"}, True),
        ({"tools": [{"function": 5}]}, True),
        ({"tool_choice": "required"}, True),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, True),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, True),
        ({"logit_bias": {"5": 1}}, True),
        ({"guided_json": {}}, True),
        ({"guided_json": None, "response_format": {"type": "text"}}, False),
        ({"an_option_of_next_year": False}, True),
    ],
)
def test_only_what_is_known_to_be_safe_is_unconstrained(
    request_: dict[str, Any], constrained: bool
) -> None:
    """Grammars, biases, forced tools and everything unknown may bend the distribution."""
    assert bool(constraining_fields(request_)) is constrained

"""Fuzzing of a server by its own OpenAPI description, bounded by a number of cases."""

from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as openapi_checks

CHECKS = [
    not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
]


def operations(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return every path and method of a description."""
    return [
        (path, method.upper())
        for path, methods in document["paths"].items()
        for method in methods
        if method in ("get", "post")
    ]


def fuzz(
    document: dict[str, Any],
    url: str,
    path: str,
    method: str,
    *,
    examples: int = 40,
    headers: dict[str, str] | None = None,
) -> None:
    """Call one operation with what fits its description and what does not, and check each answer.

    A 503 is an answer of the description, where it is in it.
    """
    schema = schemathesis.openapi.from_dict(document)
    operation = schema[path][method]
    modes = [GenerationMode.POSITIVE]
    if method == "POST" or "{" in path:
        modes.append(GenerationMode.NEGATIVE)
    checks = [
        c
        for c in CHECKS
        if "503" not in operation.definition.raw["responses"] or c is not CHECKS[0]
    ]

    @given(case=st.one_of([operation.as_strategy(generation_mode=mode) for mode in modes]))
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    def run(case: Any) -> None:
        response = case.call(base_url=url, headers=headers or {})
        assert response.status_code != 500, response.text
        case.validate_response(response, checks=checks)

    run()

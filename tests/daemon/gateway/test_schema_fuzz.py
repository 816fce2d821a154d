"""Whatever a caller sends, the gateway answers as its description says, and never by 500."""

import httpx
import pytest
from gateway_rig import GatewayRig
from schema_fuzz import fuzz, operations

from rlwd.daemon.gateway.openapi import openapi_document


@pytest.mark.parametrize(("path", "method"), operations(openapi_document()))
def test_the_gateway_answers_as_described(path: str, method: str, client: httpx.Client) -> None:
    """What fits the description and what does not: the answer is one of those described."""
    fuzz(openapi_document(), str(client.base_url).rstrip("/"), path, method)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_a_streamed_answer_is_as_described(path: str, client: httpx.Client) -> None:
    """Where every request asks for a stream, too, the answer is one of those described."""
    document = openapi_document()
    asked = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    asked["properties"]["stream"] = {"const": True}
    asked["required"] = [*asked["required"], "stream"]
    fuzz(document, str(client.base_url).rstrip("/"), path, "POST")


@pytest.mark.parametrize("raw", [b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"nul", b"\x00", b""])
@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/responses/input_tokens",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/feedback",
        "/ofrep/v1/evaluate/flags",
        "/ofrep/v1/evaluate/flags/policy",
    ],
)
def test_no_body_is_answered_by_500(path: str, raw: bytes, client: httpx.Client) -> None:
    """Bytes that are no JSON, or nest without end, are the caller's fault."""
    for headers, statuses in (({}, (400, 413)), ({"Content-Encoding": "gzip"}, (415,))):
        response = client.post(path, content=raw, headers=headers)
        assert response.status_code in statuses, response.text


@pytest.mark.parametrize(
    "path", ["/%ff", "/v1/models/%ff%00", "/ofrep/v1/evaluate/flags/%ff", "//"]
)
def test_no_path_is_answered_by_500(path: str, client: httpx.Client, gateway: GatewayRig) -> None:
    """Bytes in a path that are no text find nothing."""
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        assert 400 <= client.request(method, path).status_code < 500

"""OFREP: OpenFeature's remote evaluation protocol, for products that want the variant themselves.

The context's `targetingKey` is the user as the product names it. It is hashed here, so that a
product and the gateway always agree on who gets what. A caller whose token is for no one tenant
names it as `tenant` in the context, where its users are not of the default one. Where a policy is that
of a kind of work, the context's `segment` says which is asked about.

While an experiment on the product goes on, the flag of its name returns the user's arm.
"""

import hashlib
import time
from typing import Any, NamedTuple

import msgspec
import orjson
from aiohttp import web

from ...ops.flags.assignment import DEFAULT_TENANT, hash_user, tenant_key
from ...ops.flags.evaluator import FlagsUnavailable
from ...ops.flags.flag_state import to_document
from ..http.answers import JSON, printable
from ..http.bodies import BodyRefused, parse_json, read_body
from .context import CALLER, CONTEXT, GatewayContext


class ContextError(ValueError):
    """The evaluation context is not usable; `code` is OpenFeature's word for why."""

    def __init__(self, code: str, details: str, status: int = 400) -> None:
        super().__init__(details)
        self.code, self.status = code, status


class _Body(msgspec.Struct, frozen=True, kw_only=True):
    context: dict[str, Any] = msgspec.field(default_factory=dict)


def _hidden(request: web.Request) -> bool:
    """Return whether this client may not know variants: it could vote against one."""
    return bool(request[CALLER].name) and not request.app[CONTEXT].settings.shows_variant


_HIDDEN = "this token may not know variants (gateway.show_variant)"


async def evaluate_one(request: web.Request) -> web.Response:
    """Handle `POST /ofrep/v1/evaluate/flags/{key}`."""
    context, key = request.app[CONTEXT], printable(request.match_info["key"])
    try:
        asked = await _asked(request)
        # The arm of an experiment is the product's own business: it has to know it.
        found = _evaluate_arm(context, asked)
        if found is None or found["key"] != key:
            if _hidden(request):
                return _failure(403, key, "GENERAL", _HIDDEN)
            found = _evaluate(context, asked)
    except ContextError as problem:
        return _failure(problem.status, key, problem.code, str(problem))
    except FlagsUnavailable as problem:
        return _failure(500, key, "GENERAL", _without_place(context, problem))
    if key != found["key"]:
        return _failure(404, key, "FLAG_NOT_FOUND", f"there is only {found['key']}")
    return web.Response(body=orjson.dumps(found), content_type=JSON)


async def evaluate_all(request: web.Request) -> web.Response:
    """Handle `POST /ofrep/v1/evaluate/flags`: 304 where the client has the same answer already."""
    context = request.app[CONTEXT]
    try:
        asked = await _asked(request)
        arm = _evaluate_arm(context, asked)
        if arm is None and _hidden(request):
            return _failure(403, None, "GENERAL", _HIDDEN)
        found = [] if _hidden(request) else [_evaluate(context, asked)]
        found += [] if arm is None else [arm]
    except ContextError as problem:
        return _failure(problem.status, None, problem.code, str(problem))
    except FlagsUnavailable as problem:
        return _failure(500, None, "GENERAL", _without_place(context, problem))
    body = orjson.dumps({"flags": found, "metadata": found[0]["metadata"]})
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    # Proxies that compress make a tag weak; for a 304 weak is as good (RFC 9110, 13.1.2).
    known = {
        one.strip().removeprefix("W/")
        for one in request.headers.get("If-None-Match", "").split(",")
    }
    if tag in known or "*" in known:
        return web.Response(status=304, headers={"ETag": tag})
    return web.Response(body=body, content_type=JSON, headers={"ETag": tag})


def _without_place(context: GatewayContext, problem: FlagsUnavailable) -> str:
    said = str(problem)
    for _, flags in context.policies.followed():
        said = said.replace(f"{flags.place}: ", "")
    return said


class _Asked(NamedTuple):
    """For whom a variant is asked."""

    policy: str
    """The policy that answers their requests."""
    user: str
    """The user's hash."""


async def _asked(request: web.Request) -> _Asked:
    try:
        raw = await read_body(request, request.app[CONTEXT].settings.body_seconds)
        context = msgspec.convert(parse_json(raw or b"{}"), _Body).context
    except BodyRefused as problem:
        raise ContextError("PARSE_ERROR", str(problem), problem.status) from problem
    except msgspec.ValidationError as problem:
        raise ContextError("INVALID_CONTEXT", str(problem)) from problem
    except ValueError as problem:
        raise ContextError("PARSE_ERROR", str(problem)) from problem
    user = context.get("targetingKey")
    if user is None or user == "":
        raise ContextError("TARGETING_KEY_MISSING", "context.targetingKey: the user is needed")
    if not isinstance(user, str):
        raise ContextError("INVALID_CONTEXT", "context.targetingKey: must be a text")
    named = context.get("tenant") or DEFAULT_TENANT
    segment = context.get("segment") or "default"
    for name, value in (("tenant", named), ("segment", segment)):
        if not isinstance(value, str):
            raise ContextError("INVALID_CONTEXT", f"context.{name}: must be a text")
    gateway, tenant = request.app[CONTEXT], request[CALLER].tenant or named
    key = gateway.settings.user_key.encode()
    policy = gateway.policies.owners.owner(tenant, segment)
    return _Asked(policy, hash_user(user, tenant_key(key, tenant)))


def _evaluate(context: GatewayContext, asked: _Asked) -> dict[str, Any]:
    assigned = context.policies.assign(asked.policy, asked.user, time.monotonic())
    state = context.policies.deciding(asked.policy).state
    assert state is not None
    variants = to_document(state)["flags"][state.policy]["variants"]
    return {
        "key": state.policy,
        "reason": assigned.reason,
        "variant": str(assigned.variant),
        "value": variants[assigned.variant],
        "metadata": {
            "policy": state.policy,
            "generation": assigned.generation,
            "salt": assigned.salt,
            "bucket": assigned.bucket,
        },
    }


def _evaluate_arm(context: GatewayContext, asked: _Asked) -> dict[str, Any] | None:
    own = context.policies.own.get(asked.policy)
    if own is not None and not own.ready:
        return None  # Of its parent's experiments it has no part.
    flags = context.policies.deciding(asked.policy)
    answer = flags.evaluate_arm(asked.user, time.monotonic())
    if answer is None:
        return None
    return {
        "key": answer.flag,
        "reason": answer.reason,
        "variant": answer.arm,
        "value": answer.arm,
        "metadata": {
            "generation": answer.generation,
            "salt": answer.salt,
            "bucket": answer.bucket,
        },
    }


def _failure(status: int, key: str | None, code: str, details: str) -> web.Response:
    body = {"errorCode": code, "errorDetails": details}
    return web.Response(
        status=status,
        body=orjson.dumps(body if key is None else {"key": key, **body}),
        content_type=JSON,
    )

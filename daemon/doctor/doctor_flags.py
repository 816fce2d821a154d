"""Doctor, the flags over a network: does `gateway.flags_url` give what this gateway may act on?"""

from collections.abc import Iterator

import httpx

from ...ops.flags.signed_flags import asking_token, check_flags, check_key
from ...streams.authorities import authorities
from ..config import Config
from .doctor_finding import Finding, fail, ok, warn

SECONDS = 5.0


def check_flags_url(config: Config) -> Iterator[Finding]:
    """Ask once, as the gateway does; nothing is found where it reads the flag file."""
    url = config.gateway.flags_url
    if not url:
        return
    what = f"flags {url}"
    try:
        gateway = config.with_secrets("gateway").gateway
        key = check_key("gateway.flags_key", gateway.flags_key)
    except ValueError as problem:
        yield fail(what, str(problem), "put the secret there, or run doctor as the gateway's user")
        return
    shown = {"Authorization": f"Bearer {gateway.flags_token or asking_token(key)}"}
    try:
        answer = httpx.get(
            url, headers=shown, timeout=SECONDS, verify=authorities(), trust_env=False
        )
    except httpx.HTTPError as problem:
        told = f"no answer: {problem or type(problem).__name__}"
        yield warn(what, told, "start the daemon, or correct host and port")
        return
    if answer.status_code == 503:
        yield warn(what, f"503: {answer.text[:200]}", "the daemon has let out no version yet")
    elif answer.status_code != 200:
        remedy = "the same key as http.flags_key and gateway.flags_key, and the path /flags"
        yield fail(what, f"{answer.status_code}: {answer.text[:200]}", remedy)
    else:
        yield _judged(what, answer, key, gateway.policy)


def _judged(what: str, answer: httpx.Response, key: bytes, policy: str) -> Finding:
    try:
        state, _ = check_flags(answer.headers, answer.content, key, policy)
    except ValueError as problem:
        return fail(what, str(problem), "correct key, policy or address: these are not acted on")
    return ok(what, f"generation {state.generation}, signed; {state.champion.version} is served")

"""OFREP: the real openfeature-provider-ofrep client gets from the gateway what the gateway serves."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_rig import LoopThread
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import (
    FlagNotFoundError,
    OpenFeatureError,
    TargetingKeyMissingError,
)
from waiting import until

from rlwd.daemon.gateway.app import GatewaySettings, serve_gateway
from rlwd.ops.flags.assignment import ServedVersion, Shares, hash_user, holdout_salt, tenant_key
from rlwd.ops.flags.evaluator import FlagEvaluator
from rlwd.ops.flags.flag_file import write_flags
from rlwd.ops.flags.flag_state import FlagState, to_document
from rlwd.ops.servers.process import NO_TLS
from rlwd.streams.log.ports import EventSink


def version(number: int) -> ServedVersion:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return ServedVersion(version=f"policy@v{number:06d}-{digest[:8]}", digest=digest)


def set_flags(path: Path, generation: int) -> dict[str, Any]:
    state = FlagState(
        policy="policy",
        generation=generation,
        salt="salt",
        holdout_salt=holdout_salt("policy"),
        champion=version(1),
        anchor=version(0),
        candidate=version(2),
        shares=Shares(candidate=3000, anchor=2000),
    )
    document = to_document(state)
    write_flags(path, document)
    return document


Acts = Callable[[int], dict[str, Any]]


def no_log() -> EventSink:
    raise ConnectionError("no log here")


@pytest.fixture
def flags(tmp_path: Path) -> Path:
    return tmp_path / "flags.json"


@pytest.fixture
def url(tmp_path: Path, flags: Path) -> Iterator[str]:
    """A gateway on that flag file, without engine or log."""
    settings = GatewaySettings(
        port=0, flags=str(flags), spool=str(tmp_path / "spool"), user_key="key", token="secret"
    )
    loop, serving = LoopThread(), serve_gateway(settings, no_log)
    yield loop.run(serving.__aenter__())
    loop.run(serving.__aexit__(None, None, None))
    loop.close()


@pytest.fixture
def acts(url: str, flags: Path) -> Acts:
    """Write the flags of a generation, and wait until the gateway acts on them."""

    def act(generation: int) -> dict[str, Any]:
        document = set_flags(flags, generation)
        with httpx.Client(
            base_url=url, headers={"Authorization": "Bearer secret"}, verify=NO_TLS
        ) as client:
            until(lambda: client.get("/readyz").json()["flag_generation"] == generation)
        return document

    return act


@pytest.fixture
def provider(url: str) -> Iterator[OFREPProvider]:
    provider = OFREPProvider(url, headers_factory=lambda: {"Authorization": "Bearer secret"})
    yield provider
    provider.session.close()


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": "Bearer secret"}
    with httpx.Client(
        base_url=f"{url}/ofrep/v1/evaluate/", headers=headers, verify=NO_TLS
    ) as client:
        yield client


def test_the_real_client_gets_what_the_gateway_serves(
    provider: OFREPProvider, flags: Path, acts: Acts
) -> None:
    """For each user variant, value and generation are those that requests are served by."""
    variants = acts(1)["flags"]["policy"]["variants"]
    evaluator = FlagEvaluator(flags)
    seen = set()
    for number in range(60):
        details = provider.resolve_object_details("policy", {}, EvaluationContext(f"u{number}"))
        assigned = evaluator.evaluate(hash_user(f"u{number}", b"key"), 0.0)
        assert details.variant == assigned.variant
        assert details.value == variants[assigned.variant]
        assert details.reason == assigned.reason
        assert details.flag_metadata == {
            "policy": "policy",
            "generation": 1,
            "salt": "holdout/policy" if details.variant == "anchor" else "salt",
            "bucket": assigned.bucket,
        }
        seen.add(details.variant)
    assert seen == set(variants)


def test_the_real_client_understands_our_errors(
    provider: OFREPProvider, url: str, acts: Acts
) -> None:
    """Unknown flag, no user, no flags yet, wrong token: each is its own OpenFeature error."""
    someone = EvaluationContext("u1")
    with pytest.raises(OpenFeatureError, match="No such file"):
        provider.resolve_object_details("policy", {}, someone)
    acts(1)
    with pytest.raises(FlagNotFoundError, match="there is only policy"):
        provider.resolve_object_details("other", {}, someone)
    with pytest.raises(TargetingKeyMissingError):
        provider.resolve_object_details("policy", {}, EvaluationContext())
    stranger = OFREPProvider(url)
    with pytest.raises(OpenFeatureError) as problem:
        stranger.resolve_object_details("policy", {}, someone)
    assert problem.value.error_message == "unauthorized"
    stranger.session.close()


def test_a_caller_cannot_choose_its_bucket(provider: OFREPProvider, acts: Acts) -> None:
    """A bucket in the context is not believed: only the user decides."""
    acts(1)
    answers = {
        provider.resolve_object_details(
            "policy", {}, EvaluationContext("u1", {"bucket": number, "holdout_bucket": number})
        ).variant
        for number in range(0, 10_000, 1111)
    }
    assert len(answers) == 1


def test_a_user_is_the_tenants_own(provider: OFREPProvider, flags: Path, acts: Acts) -> None:
    """The tenant in the context is whose user it is: the answer is what their requests get."""
    acts(1)
    evaluator = FlagEvaluator(flags)
    for number in range(20):
        context = EvaluationContext(f"u{number}", {"tenant": "acme"})
        details = provider.resolve_object_details("policy", {}, context)
        user = hash_user(f"u{number}", tenant_key(b"key", "acme"))
        assert details.variant == evaluator.evaluate(user, 0.0).variant
        assert details.flag_metadata["bucket"] == evaluator.evaluate(user, 0.0).bucket


def test_bulk_answers_304_until_something_changes(client: httpx.Client, acts: Acts) -> None:
    """The tag names the answer: the same user and flags give 304, a new generation a new answer."""
    acts(1)
    body = {"context": {"targetingKey": "u1"}}
    first = client.post("flags", json=body)
    single = client.post("flags/policy", json=body).json()
    assert first.status_code == 200
    assert first.json()["flags"] == [single]
    known = {"If-None-Match": first.headers["ETag"]}
    again = client.post("flags", json=body, headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    acts(2)
    for _ in range(1000):
        after = client.post("flags", json=body, headers=known)
        if after.status_code != 304:
            break
    assert after.status_code == 200
    assert after.json()["metadata"]["generation"] == 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", "PARSE_ERROR"),
        ('{"context": 5}', "INVALID_CONTEXT"),
        ('{"context": {"targetingKey": 5}}', "INVALID_CONTEXT"),
        ('{"context": {}}', "TARGETING_KEY_MISSING"),
        ("", "TARGETING_KEY_MISSING"),
    ],
)
@pytest.mark.parametrize("path", ["flags", "flags/policy"])
def test_a_bad_context_is_400_with_its_code(
    path: str, body: str, code: str, client: httpx.Client, flags: Path, acts: Acts
) -> None:
    """Every unusable context gets OpenFeature's word for what is wrong."""
    acts(1)
    response = client.post(path, content=body)
    assert response.status_code == 400
    assert response.json()["errorCode"] == code
    assert response.json().get("key") == ("policy" if path == "flags/policy" else None)

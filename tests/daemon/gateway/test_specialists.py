"""A gateway of several policies: who is served by which, and where what they say goes."""

from collections import defaultdict
from typing import Any

import httpx
import pytest
from gateway_rig import CHAT, HELLO, GatewayRig, version, wait_for

from rlwd.daemon.callers.settings import ClientSettings
from rlwd.daemon.callers.specialists import SpecialistSettings
from rlwd.daemon.http.credentials import hash_token
from rlwd.ops.flags.assignment import ServedVersion, Shares
from rlwd.ops.flags.flag_file import write_flags
from rlwd.ops.flags.flag_state import FlagState, to_document
from rlwd.streams.events.event import Event, GenerationEvent, decode_event


class TopicSink:
    """Keeps what was sent, by topic."""

    def __init__(self) -> None:
        self.sent = defaultdict[str, list[Event]](list)

    def __call__(self) -> "TopicSink":
        return self

    def send(self, topic: str, key: str, value: bytes) -> None:
        self.sent[topic].append(decode_event(value))

    def flush(self, timeout_seconds: float) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing to let go of."""


class House:
    """A gateway with two tenants' specialists, one of a kind of work, and a parent that tries a version."""

    def __init__(self, gateway: GatewayRig) -> None:
        self.gateway, self.sink = gateway, TopicSink()
        gateway.set_flags(candidate=5000)
        self.client = gateway.open(
            sink=self.sink,
            show_variant=True,
            token="operator",
            clients={
                name: ClientSettings(tokens=(hash_token(name),), tenant=name)
                for name in ("acme", "lab", "free")
            },
            specialists={
                "acme": SpecialistSettings(tenants=("acme",), consent="opt_in"),
                "lab": SpecialistSettings(tenants=("lab",)),
                "code": SpecialistSettings(tenants=("*",), segments=("code",)),
            },
            specialists_state=str(gateway.folder / "specialists"),
        )

    def served(self, policy: str) -> ServedVersion:
        one = version(0)
        return ServedVersion(
            version=one.version.replace("policy@", f"{policy}@"), digest=one.digest
        )

    def set_flags(self, policy: str) -> None:
        """Write a specialist's first flags: its v0 serves everybody."""
        served, folder = self.served(policy), self.gateway.folder / "specialists" / policy
        folder.mkdir(parents=True)
        state = FlagState(
            policy=policy,
            generation=1,
            salt=served.version,
            champion=served,
            anchor=served,
            shares=Shares(),
        )
        write_flags(folder / "flags.json", to_document(state))

    def ask(self, token: str, user: str = "u", **more: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "X-Rlwd-User": user, **more}
        return self.client.post(CHAT, json=HELLO, headers=headers)

    def say(self, token: str, **about: Any) -> int:
        said = {"feedback_id": "f", "signal": {"kind": "accepted"}, **about}
        headers = {"Authorization": f"Bearer {token}"}
        return self.client.post("/v1/feedback", json=said, headers=headers).status_code

    def topics(self, count: int) -> dict[str, int]:
        """Return how many records each topic got, once so many came."""
        wait_for(lambda: sum(map(len, self.sink.sent.values())) >= count)
        return {topic: len(each) for topic, each in self.sink.sent.items()}


@pytest.fixture
def house(gateway: GatewayRig) -> House:
    return House(gateway)


def test_until_it_has_flags_its_parent_s_champion_answers(house: House) -> None:
    """None of its people is in its parent's experiment; what they get is recorded as its own."""
    answers = [house.ask("acme", user=f"u{n}") for n in range(8)]
    assert {one.headers["X-Rlwd-Variant"] for one in answers} == {"champion"}
    of_parent = [house.ask("free", user=f"u{n}").headers["X-Rlwd-Variant"] for n in range(8)]
    assert {"candidate", "control"} >= set(of_parent)
    assert house.topics(16) == {"rlwd.generations.acme": 8, "rlwd.generations": 8}
    (kept, *_) = house.sink.sent["rlwd.generations.acme"]
    assert isinstance(kept, GenerationEvent)
    assert (kept.data.policy, kept.data.version, kept.data.reason) == (
        "acme",
        version(2).version,
        "parent",
    )


def test_once_it_has_flags_they_decide_and_its_parent_is_the_last_to_fall_back_on(
    house: House,
) -> None:
    """Each tenant gets its own versions; where no engine has them, the parent's champion."""
    house.set_flags("acme")
    house.gateway.engine.known = {*house.gateway.engine.known, house.served("acme").version}
    wait_for(lambda: house.ask("acme").headers["X-Rlwd-Version"].startswith("acme@v000000"))
    assert house.ask("lab").headers["X-Rlwd-Version"].startswith(version(2).version)
    house.gateway.engine.known = {version(2).version}
    assert house.ask("acme").headers["X-Rlwd-Version"].startswith(version(2).version)


def test_nobody_chooses_another_tenant_s_policy(house: House) -> None:
    """A token decides; a header that says otherwise is refused, a body's field left out."""
    assert house.ask("lab", **{"X-Rlwd-Tenant": "acme"}).status_code == 403
    body = {**HELLO, "metadata": {"tenant": "acme"}}
    answer = house.client.post(CHAT, json=body, headers={"Authorization": "Bearer lab"})
    assert answer.status_code == 200
    model = {**HELLO, "model": house.served("acme").version}
    assert (
        house.client.post(CHAT, json=model, headers={"Authorization": "Bearer lab"}).status_code
        == 404
    )
    assert house.topics(1) == {"rlwd.generations.lab": 1}


def test_feedback_goes_to_the_policy_that_answered_and_to_no_other(house: House) -> None:
    """By the id of an answer; by a session's name to those whose answers may be in it."""
    own = house.ask("acme").json()["id"]
    work = house.ask("free", **{"X-Rlwd-Segment": "code"}).json()["id"]
    assert house.say("acme", generation_id=own) == 202
    assert house.say("lab", generation_id=own) == 403
    assert house.say("free", generation_id=work) == 202
    assert house.say("acme", session="s1") == 202
    assert house.say("free", session="s1") == 202
    assert house.topics(7) == {
        "rlwd.generations.acme": 1,
        "rlwd.generations.code": 1,
        "rlwd.feedback.acme": 2,
        "rlwd.feedback.code": 2,
        "rlwd.feedback": 1,
    }


def test_consent_is_asked_for_where_the_specialist_says_so(house: House) -> None:
    """A request that says nothing is learned from by one, and not by the other."""
    for token, more in (("lab", {}), ("acme", {}), ("acme", {"X-Rlwd-Consent": "true"})):
        assert house.ask(token, **more).status_code == 200
    house.topics(3)
    told = {
        topic: [one.data.consent for one in each if isinstance(one, GenerationEvent)]
        for topic, each in house.sink.sent.items()
    }
    assert told == {"rlwd.generations.lab": [True], "rlwd.generations.acme": [False, True]}

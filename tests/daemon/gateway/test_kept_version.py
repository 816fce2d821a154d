"""A conversation keeps its version over a promotion, and nobody chooses one by what they return."""

from pathlib import Path

import httpx
import pytest
from gateway_rig import CHAT, HELLO, GatewayRig, version, wait_for

from rlwd.daemon.callers.settings import ClientSettings
from rlwd.daemon.http.credentials import hash_token
from rlwd.ops.flags.assignment import ServedVersion, Shares, bucket, hash_user
from rlwd.ops.flags.flag_file import write_flags
from rlwd.ops.flags.flag_state import FlagState, to_document, to_state

ADA = {"X-Rlwd-User": "ada", "X-Rlwd-Session": "chat-1"}


class Clock:
    """Epoch seconds of a gateway, as a test sets them."""

    def __init__(self) -> None:
        self.now = 1_780_000_000.0

    def __call__(self) -> float:
        return self.now


def flags(
    rig: GatewayRig, champion: int, kept: tuple[int, ...], *, candidate: int | None = None
) -> None:
    """Write flags, and wait until the gateways act on them."""
    rig.generation += 1
    state = FlagState(
        policy="policy",
        generation=rig.generation,
        salt=f"salt-{rig.generation}",
        champion=version(champion),
        anchor=version(0),
        candidate=None if candidate is None else version(candidate),
        shares=Shares(candidate=0 if candidate is None else 5000),
        kept=tuple(version(number) for number in kept),
    )
    write_flags(rig.flags, to_document(state))


def follow(client: httpx.Client, rig: GatewayRig) -> None:
    wait_for(lambda: client.get("/readyz").json()["flag_generation"] == rig.generation)


def turn(
    client: httpx.Client, returned: str = "", who: dict[str, str] | None = None
) -> tuple[str, str]:
    """Ask once; return the version that answered and what is to be returned."""
    headers = dict(ADA if who is None else who)
    if returned:
        headers["X-Rlwd-Version"] = returned
    answer = client.post(CHAT, json=HELLO, headers=headers)
    assert answer.status_code == 200, answer.text
    given = answer.headers["X-Rlwd-Version"]
    return given.partition("; ")[0], given


def name(number: int) -> str:
    return version(number).version


@pytest.fixture
def chat(gateway: GatewayRig) -> httpx.Client:
    """A gateway on which version 1 is the champion."""
    flags(gateway, 1, (1,))
    return gateway.open()


def promote(client: httpx.Client, rig: GatewayRig) -> None:
    """Version 2 takes the champion's place; version 1 is still kept."""
    flags(rig, 2, (2, 1))
    follow(client, rig)


def outcome(client: httpx.Client, what: str) -> float:
    wanted = f'rlwd_gateway_returned_versions_total{{outcome="{what}"}} '
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))


def test_a_promotion_changes_no_conversation_that_returns_its_version(
    chat: httpx.Client, gateway: GatewayRig
) -> None:
    """With the header it goes on as it began; without, and for a new one, the flag decides."""
    served, first = turn(chat)
    assert served == name(1)
    promote(chat, gateway)
    served, second = turn(chat, first)
    assert served == name(1)
    assert turn(chat, second)[0] == name(1)
    assert turn(chat)[0] == name(2)
    assert turn(chat, who={**ADA, "X-Rlwd-Session": "chat-2"})[0] == name(2)
    events = gateway.sink.generations(5)
    assert [(event.version, event.kept, event.reason) for event in events[1:3]] == [
        (name(1), True, "kept")
    ] * 2
    assert [event.kept for event in events] == [False, True, True, False, False]
    assert outcome(chat, "kept") == 2


def test_an_experiment_does_not_begin_in_a_conversation(
    chat: httpx.Client, gateway: GatewayRig
) -> None:
    """Whoever is drawn as a candidate meets it in their next conversation."""
    _, first = turn(chat)
    flags(gateway, 1, (1, 3), candidate=3)
    follow(chat, gateway)
    salt, user = f"salt-{gateway.generation}", hash_user("ada", b"key")
    drawn = name(3) if bucket(salt, user) < 5000 else name(1)
    assert turn(chat, first)[0] == name(1)
    assert turn(chat, who={**ADA, "X-Rlwd-Session": "chat-2"})[0] == drawn


def test_a_rollback_moves_a_conversation_at_once(chat: httpx.Client, gateway: GatewayRig) -> None:
    """What was refused is kept by nobody, though an engine still has it."""
    promote(chat, gateway)
    served, given = turn(chat)
    assert served == name(2)
    flags(gateway, 1, (1,))
    follow(chat, gateway)
    assert turn(chat, given)[0] == name(1)
    assert outcome(chat, "gone") == 1


def test_a_version_that_no_engine_has_is_not_waited_for(
    chat: httpx.Client, gateway: GatewayRig
) -> None:
    """The flags name it as kept; where the engine lost it the turn goes where the flag says."""
    _, given = turn(chat)
    promote(chat, gateway)
    gateway.engine.known.discard(name(1))
    assert turn(chat, given)[0] == name(2)
    event = gateway.sink.generations(2)[-1]
    assert (event.fallback, event.kept, event.reason) == (True, False, "fallback")


def test_a_version_is_kept_for_a_while(gateway: GatewayRig) -> None:
    """Time counts from the session's first turn on it, however often it is returned."""
    clock = Clock()
    flags(gateway, 1, (1,))
    client = gateway.open(clock=clock, keep_seconds=100.0)
    _, given = turn(client)
    flags(gateway, 2, (2, 1))
    follow(client, gateway)
    for _ in range(3):
        clock.now += 30.0
        served, given = turn(client, given)
        assert served == name(1)
    clock.now += 11.0
    served, given = turn(client, given)
    assert (served, outcome(client, "expired")) == (name(2), 1)
    clock.now += 50.0
    assert turn(client, given)[0] == name(2)


def test_nobody_chooses_a_version(chat: httpx.Client, gateway: GatewayRig) -> None:
    """A bare name, a changed one, another session's, user's, or a made-up proof are worth nothing."""
    _, given = turn(chat)
    _, others = turn(chat, who={**ADA, "X-Rlwd-User": "eve"})
    _, elsewhere = turn(chat, who={**ADA, "X-Rlwd-Session": "chat-2"})
    promote(chat, gateway)
    proof = given.partition("; ")[2]
    for forged in (
        name(1),
        others,
        elsewhere,
        f"{name(1)}; keep=6b0782a3-{'0' * 32}",
        f"{given[:-1]}{'0' if given[-1] != '0' else '1'}",
        given.replace("keep=", "keep=f"),
        f"keep={'f' * 12}-{'0' * 32}",
        "; keep=",
        "x" * 5000,
    ):
        assert turn(chat, forged)[0] == name(2), forged
    # What stands before the proof is for people: it moves nobody.
    assert turn(chat, f"{name(0)}; {proof}")[0] == name(1)


def test_gateways_with_one_key_know_each_others(gateway: GatewayRig, tmp_path: Path) -> None:
    """A conversation goes on at any gateway; one with another key, or none, follows the flag."""
    flags(gateway, 1, (1,))
    one, two, other, bare = (
        gateway.open(spool=str(tmp_path / f"spool-{number}"), user_key=key)
        for number, key in enumerate(("key", "key", "another", ""))
    )
    _, given = turn(one)
    _, own = turn(bare)
    flags(gateway, 2, (2, 1))
    for client in (one, two, other, bare):
        follow(client, gateway)
    assert [turn(client, given)[0] for client in (two, other, bare)] == [name(1), name(2), name(2)]
    assert turn(bare, own)[0] == name(1)


def test_who_may_not_know_the_version_keeps_it_all_the_same(gateway: GatewayRig) -> None:
    """A client's proof names nothing, and is the same whichever variant it is of."""
    flags(gateway, 1, (1,))
    clients = {"app": ClientSettings(tokens=(hash_token("secret"),), tenant="acme")}
    client = gateway.open(clients=clients, host="127.0.0.1")
    ada = {**ADA, "Authorization": "Bearer secret"}
    given = client.post(CHAT, json=HELLO, headers=ada).headers["X-Rlwd-Version"]
    assert given.startswith("keep=")
    flags(gateway, 2, (2, 1))
    follow(client, gateway)
    again = client.post(CHAT, json=HELLO, headers={**ada, "X-Rlwd-Version": given})
    assert again.headers["X-Rlwd-Version"] == given
    events = gateway.sink.generations(2)
    assert [event.version for event in events] == [name(1), name(1)]


def test_flags_without_the_list_keep_nothing(chat: httpx.Client, gateway: GatewayRig) -> None:
    """What an earlier rlwd wrote names no version as kept."""
    _, given = turn(chat)
    flags(gateway, 2, ())
    follow(chat, gateway)
    assert turn(chat, given)[0] == name(2)


def test_the_list_is_read_as_it_was_written() -> None:
    """Versions and digests, whole; what is no version is refused."""
    served = ServedVersion(version=f"a=b@v000001-{'1' * 8}", digest="1" * 64)
    state = FlagState(
        policy="p", generation=1, salt="s", champion=served, anchor=served, kept=(served,)
    )
    document = to_document(state)
    assert to_state(document) == state
    assert document["metadata"]["kept"] == f"{served.version}={served.digest}"

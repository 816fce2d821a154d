"""Redaction at the gateway: what must not be kept is on no disk and on no topic, nor its tokens."""

from pathlib import Path
from typing import Any

import pytest
from fake_engine import PLAIN
from gateway_rig import CHAT, HELLO, GatewayRig, stream
from ledger_by_hand import FEEDBACK, GENERATIONS, open_ledger

from rlwd.streams.events.event import GenerationEvent, encode_event
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.signals import Edited
from rlwd.streams.redaction.privacy import PrivacySettings, TenantPrivacy
from rlwd.streams.sessions.contents import load_contents

MAIL = "anna@posteo.de"
PLANTED: dict[str, list[dict[str, Any]]] = {
    "now": [{"role": "user", "content": f"write to {MAIL}"}],
    "earlier": [
        {"role": "user", "content": f"write to {MAIL}"},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "thanks"},
    ],
    "in a call": [
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "c", "function": {"name": "f", "arguments": f'{{"to": "{MAIL}"}}'}}
            ],
        },
        {"role": "user", "content": "thanks"},
    ],
    "after a line feed in a call": [
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "c", "function": {"name": "f", "arguments": r'{"a": "x\n+49 30 12345678"}'}}
            ],
        },
        {"role": "user", "content": "thanks"},
    ],
    "in a call that is an object": [
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"to": [MAIL]}}}],
        },
        {"role": "user", "content": "thanks"},
    ],
    "who says it": [{"role": "user", "name": MAIL, "content": "hi"}],
}


def ask(gateway: GatewayRig, messages: Any, streamed: bool = False, **changes: Any) -> Generation:
    gateway.set_flags()
    client = gateway.open(**changes)
    body = {"model": "rlwd", "messages": messages}
    headers = {"X-Rlwd-Tenant": "acme"}
    if streamed:
        stream(client, CHAT, body, headers=headers)
    else:
        assert client.post(CHAT, json=body, headers=headers).status_code == 200
    return gateway.sink.generations(1)[-1]


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("where", PLANTED)
def test_a_hit_in_what_was_read_keeps_no_tokens(
    gateway: GatewayRig, where: str, streamed: bool
) -> None:
    """Said now or long before: the prompt's ids spell it, so none are kept."""
    gateway.sink.away = True  # all stays in the spool
    gateway.set_flags()
    found = None
    client = gateway.open()
    body = {"model": "rlwd", "messages": PLANTED[where]}
    if streamed:
        stream(client, CHAT, body)
    else:
        client.post(CHAT, json=body)
    spooled = on_disk(gateway.folder / "spool")
    assert b"rlwd.generation.v1" in spooled
    assert MAIL.encode() not in spooled
    assert b"12345678" not in spooled
    gateway.sink.away = False
    found = gateway.sink.generations(1)[-1]
    assert found.redacted == (("phone",) if where.startswith("after a line feed") else ("mail",))
    assert (found.prompt_token_ids, found.completion_token_ids, found.logprobs) == (None,) * 3
    assert found.text == "Good day!"


def test_a_hit_in_the_answer(gateway: GatewayRig) -> None:
    """The client reads the answer as it was; what is kept has the kind's name."""
    gateway.engine.TEXTS = ("Ask ", "anna@", "posteo", ".de")
    gateway.engine.reasoning = "His card is 4111111111111111."
    found = ask(gateway, [{"role": "user", "content": "whom?"}])
    assert (found.text, found.reasoning) == ("Ask [mail]", "His card is [card].")
    assert (found.redacted, found.completion_token_ids) == (("card", "mail"), None)


def test_without_a_hit_all_is_kept(gateway: GatewayRig) -> None:
    """An answer that holds nothing is as it was, and says that it was looked at."""
    found = ask(gateway, [{"role": "user", "content": "hi"}])
    assert (found.redacted, found.completion_token_ids) == ((), gateway.engine.TOKENS)


def test_a_tenant_may_switch_it_off(gateway: GatewayRig) -> None:
    """For one tenant; the others' stays on."""
    privacy = PrivacySettings(tenants={"acme": TenantPrivacy(redact=False)})
    found = ask(gateway, PLANTED["now"], privacy=privacy)
    assert (found.redacted, found.input[0].text) == (None, f"write to {MAIL}")
    assert found.prompt_token_ids is not None


def test_the_products_own_address_stays(gateway: GatewayRig) -> None:
    """A support address in the system prompt keeps no answer from training; another one does."""
    privacy = PrivacySettings(tenants={"acme": TenantPrivacy(exempt=("@Acme.example",))})
    system = {"role": "system", "content": "Say: help@acme.example"}
    found = ask(gateway, [system, {"role": "user", "content": "hi"}], privacy=privacy)
    assert (found.redacted, found.completion_token_ids) == ((), gateway.engine.TOKENS)


def test_an_address_that_is_nobodys_own_does_not_stay(gateway: GatewayRig) -> None:
    """What a tenant named holds for it alone, and for nothing else that a person wrote."""
    privacy = PrivacySettings(tenants={"lab": TenantPrivacy(exempt=("@acme.example",))})
    found = ask(gateway, [{"role": "user", "content": "help@acme.example"}], privacy=privacy)
    assert (found.redacted, found.prompt_token_ids) == (("mail",), None)


def test_feedback_is_redacted_before_the_spool(gateway: GatewayRig) -> None:
    """An edit's text, too."""
    gateway.set_flags()
    client = gateway.open()
    posted = {
        "feedback_id": "f1",
        "generation_id": "g1",
        "session_id": "s1",
        "signal": {"kind": "edited", "final_text": f"Dear {MAIL}"},
    }
    assert client.post("/v1/feedback", json=posted).status_code == 202
    (found,) = gateway.sink.feedback(1)
    assert (found.signal, found.redacted) == (Edited(final_text="Dear [mail]"), ("mail",))
    assert MAIL.encode() not in on_disk(gateway.folder)


def test_a_prompt_of_ids_after_a_hit_is_not_kept(gateway: GatewayRig, tmp_path: Path) -> None:
    """A gateway cannot read ids: what goes on from an answer with a hit is excluded at the join."""
    gateway.set_flags()
    client = gateway.open()

    def ask_plain(session: str, prompt: str | list[int], parent: str = "") -> str:
        more = {"parent": parent} if parent else {}
        body = {"prompt": prompt, "user": "anna", "metadata": {"session": session, **more}}
        answer = client.post(PLAIN, json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    first = ask_plain("one", f"write to {MAIL}")
    second = ask_plain("one", [5, 6, 7], first)
    ask_plain("one", [5, 6, 7, 8], second)
    clean = ask_plain("two", "write to nobody")
    ask_plain("two", [5, 6, 7], clean)
    gateway.sink.wait(5)
    assert [one.redacted for one in gateway.sink.generations(5)] == [
        ("mail",),
        None,
        None,
        (),
        None,
    ]
    ledger = open_ledger(tmp_path / "joined.db")
    ledger.take(*map(encode_event, gateway.sink.flushed))
    with ledger.store.reading() as view:
        names = [one.generation_id for one in gateway.sink.generations(5)]
        held = load_contents(view, "policy", names)
    kept = [held[name].event.data for name in names]
    assert [one.redacted for one in kept[:3]] == [("mail",), ("history",), ("history",)]
    assert [one.prompt_token_ids is None for one in kept] == [True, True, True, False, False]


def test_names_that_are_addresses_are_written_as_hashes(
    gateway: GatewayRig, tmp_path: Path
) -> None:
    """A session and a ticket named by a person's mail: on no disk, and feedback finds them by it."""
    gateway.set_flags()
    client = gateway.open(references=("customer",))
    body = {**HELLO, "metadata": {"customer": MAIL}}
    answer = client.post(CHAT, json=body, headers={"X-Rlwd-Session": MAIL}).json()
    about: list[dict[str, Any]] = [
        {"session": MAIL},
        {"reference": {"key": "customer", "value": MAIL}},
        {"session": answer["id"].rpartition(".")[0]},
        {"generation_id": answer["id"], "session_id": MAIL},
    ]
    for number, each in enumerate(about):
        posted = {"feedback_id": f"f{number}", "signal": {"kind": "rejected"}, **each}
        response = client.post("/v1/feedback", json=posted)
        assert response.status_code == 202, response.text
    events = gateway.sink.wait(5)
    assert MAIL.encode() not in b"".join(map(encode_event, events)) + on_disk(gateway.folder)
    ledger = open_ledger(tmp_path / "state" / "rlwd.db")
    for event in events:
        answered = isinstance(event, GenerationEvent)
        ledger.take(encode_event(event), partition=GENERATIONS if answered else FEEDBACK)
    reached = ledger.ask("SELECT COUNT(*) FROM feedback WHERE generation_id = ?", answer["id"])
    assert reached == (4,)
    ledger.store.close()


def test_a_tenant_that_redacts_nothing_keeps_its_names(gateway: GatewayRig) -> None:
    """Names are what it asked for, as texts are."""
    gateway.set_flags()
    client = gateway.open(privacy=PrivacySettings(redact=False))
    client.post(CHAT, json=HELLO, headers={"X-Rlwd-Session": MAIL})
    assert gateway.sink.generations(1)[0].session_id == MAIL

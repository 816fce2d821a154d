"""From HTTP to what `rlwd explain` says: feedback that names a session, or a ticket of the product's."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from chains_by_hand import with_spec
from daemon_by_hand import open_daemon_ledger
from gateway_rig import CHAT, GatewayRig
from ledger_by_hand import FEEDBACK, GENERATIONS, Ledger

from rlwd.daemon.explain.explain import explain
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.seal import seal
from rlwd.learner.ledger.weighed import Trust
from rlwd.rewards.spec.attribution_rules import Discounted
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import Spec
from rlwd.rewards.trust.settings import TrustSettings
from rlwd.streams.events.event import GenerationEvent, encode_event

SPEC = Spec(
    name="desk",
    parts={"resolved": 1.0, "accepted": 1.0},
    decisive=("accepted", "rejected", "resolved", "escalated"),
    attribution={"resolved": Discounted(discount=0.5), "escalated": "chain"},
)


@pytest.fixture
def desk(gateway: GatewayRig) -> httpx.Client:
    """A gateway whose requests may name a ticket."""
    gateway.set_flags()
    return gateway.open(references=("ticket", "order"))


def ask(client: httpx.Client, words: str, earlier: list[dict[str, str]], **more: Any) -> str:
    """Ask the next question of a conversation; return the id of the answer."""
    earlier.append({"role": "user", "content": words})
    headers = more.pop("headers", {})
    answer = client.post(CHAT, json={"messages": earlier, **more}, headers=headers)
    assert answer.status_code == 200, answer.text
    earlier.append(
        {"role": "assistant", "content": answer.json()["choices"][0]["message"]["content"]}
    )
    return str(answer.json()["id"])


def say(client: httpx.Client, name: str, kind: str, **about: Any) -> httpx.Response:
    body = {"feedback_id": name, "signal": {"kind": kind}, **about}
    return client.post("/v1/feedback", json=body)


def joined(gateway: GatewayRig, place: Path, count: int) -> Ledger:
    """Join what came, as the daemon does."""
    ledger = with_spec(open_daemon_ledger(place / "rlwd.db"), SPEC)
    for event in gateway.sink.wait(count):
        answer = isinstance(event, GenerationEvent)
        ledger.take(encode_event(event), partition=GENERATIONS if answer else FEEDBACK)
    return ledger


def told(ledger: Ledger, name: str) -> dict[str, Any]:
    with ledger.store.reading() as view:
        story = explain(view, "policy", name)
    return story


def test_a_settled_ticket_reaches_the_answers_that_were_about_it(
    desk: httpx.Client, gateway: GatewayRig, tmp_path: Path
) -> None:
    """Two conversations about one ticket, a side request, and an answer without consent."""
    ticket = {"metadata": {"ticket": "T-17", "user": "ada"}}
    first, second = list[dict[str, str]](), list[dict[str, str]]()
    a = ask(desk, "It is broken.", first, **ticket)
    b = ask(desk, "Still broken.", first, **ticket)
    side = ask(desk, "A title?", [], headers={"X-Rlwd-Side-Request": "title"}, **ticket)
    no = ask(desk, "Private.", [], headers={"X-Rlwd-Consent": "false"}, **ticket)
    c = ask(desk, "Me again.", second, **ticket)
    other = ask(desk, "Something else.", second, metadata={"user": "ada"})
    done = say(desk, "f1", "resolved", reference={"key": "ticket", "value": "T-17"})
    assert done.status_code == 202, done.text
    ledger = joined(gateway, tmp_path, 7)
    assert gateway.sink.generations(6)[3].references == {}
    (said,) = told(ledger, b)["feedback"]
    assert said["signal"] == {"kind": "resolved"}
    assert said["attributed"] == {
        "about": {"reference": {"key": "ticket", "value": "T-17"}},
        "rule": "discount",
        "weight": 0.5,
        "steps": 1,
        "through": None,
    }
    assert told(ledger, b)["reward"]["value"] == 1.0
    for name in (side, no, other):
        assert told(ledger, name)["feedback"] == []
    (story,) = told(ledger, "f1")["on_chains"]
    assert (story["kind"], story["stage"]) == ("resolved", "reached")
    assert {name: how["weight"] for name, how in story["reached"].items()} == {
        a: 0.25,
        b: 0.5,
        c: 1.0,
    }
    ledger.store.close()


def test_a_chains_outcome_is_sealed_with_every_token_that_the_model_wrote(
    desk: httpx.Client, gateway: GatewayRig, tmp_path: Path
) -> None:
    """Each turn of a settled session weighs what the distance leaves; what people wrote is in prompts."""
    talk = list[dict[str, str]]()
    request: dict[str, Any] = {"user": "ada", "headers": {"X-Rlwd-Session": "chat-7"}}
    ids = [ask(desk, words, talk, **request) for words in ("One.", "Two.", "Three.")]
    say(desk, "f1", "resolved", session="chat-7")
    ledger = joined(gateway, tmp_path, 4)
    with ledger.store.transaction() as tx:
        batch = seal(
            tx,
            "policy",
            BatchSettings(episodes=3, held_out=0.0),
            parent_sequence=0,
            max_policy_age=8,
            age=lambda version: 0,
            now=1e9,
            # The engine of the rig writes the same tokens for everybody.
            trust=Trust(
                settings=TrustSettings(copies=False),
                verification=SPEC.verification,
                share=Scorer(SPEC).share,
            ),
        )
    assert batch is not None
    sealed = {one.generation_id: one for one in batch.episodes}
    assert [(sealed[n].reward, sealed[n].weight) for n in ids] == [
        (1.0, 0.25),
        (1.0, 0.5),
        (1.0, 1.0),
    ]
    assert told(ledger, ids[0])["weight"]["factors"] == {"chain": 0.25}
    written = {one.generation_id: one for one in gateway.sink.generations(3)}
    for name in ids:
        assert sealed[name].completion_token_ids == written[name].completion_token_ids
        assert sealed[name].prompt_token_ids == written[name].prompt_token_ids
    # A late outcome does not reach into the batch; it is recorded beside it.
    say(desk, "f2", "escalated", session="chat-7")
    ledger.take(encode_event(gateway.sink.wait(5)[-1]), partition=FEEDBACK)
    story = told(ledger, ids[0])
    assert (story["late_feedback"], story["reward"]["value"], story["batch"]["batch"]) == (
        1,
        1.0,
        1,
    )
    ledger.store.close()


@pytest.mark.parametrize("how", ["named", "cache_key", "gateways"])
def test_a_session_is_named_as_the_product_or_the_gateway_named_it(
    desk: httpx.Client, gateway: GatewayRig, tmp_path: Path, how: str
) -> None:
    """By our header, by what a client sends of its own, and by what stands in the ids of answers."""
    request: dict[str, Any] = {"user": "ada"}
    about: dict[str, Any] = {"user": "ada"}
    if how == "named":
        request |= {"headers": {"X-Rlwd-Session": "chat-7"}}
        about |= {"session": "chat-7"}
    elif how == "cache_key":
        request |= {"prompt_cache_key": "chat-7"}
        about |= {"client_session": "chat-7"}
    talk = list[dict[str, str]]()
    a, b = ask(desk, "Hello.", talk, **request), ask(desk, "And now?", talk, **request)
    if how == "gateways":
        about |= {"session": a.rpartition(".")[0]}
    assert say(desk, "e1", "escalated", **about).status_code == 202
    assert say(desk, "a1", "accepted", **about).status_code == 202
    assert say(desk, "x1", "rejected", **{**about, "user": "eve"}).status_code == 202
    ledger = joined(gateway, tmp_path, 5)
    kinds = {n: [one["signal"]["kind"] for one in told(ledger, n)["feedback"]] for n in (a, b)}
    assert {n: sorted(set(each) - {"followed_up"}) for n, each in kinds.items()} == {
        a: ["escalated"],
        b: ["accepted", "escalated"],
    }
    assert [told(ledger, name)["reward"]["value"] for name in (a, b)] == [0.0, 0.5]
    assert told(ledger, "x1")["on_chains"][0]["stage"] == "waiting"
    ledger.store.close()


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({}, "$.generation_id: needed"),
        ({"session": "s", "generation_id": "s.x"}, "$.session: given beside $.generation_id"),
        ({"reference": {"key": "ticket", "value": "1"}, "session": "s"}, "given beside $.session"),
        (
            {"reference": {"key": "invoice", "value": "1"}},
            "none of gateway.references: ticket, order",
        ),
        ({"reference": {"key": "ticket", "value": ""}}, "$.reference.value"),
        ({"session": "a\0b"}, "$.session: holds a NUL"),
    ],
)
def test_what_names_nothing_or_two_things_is_refused_by_its_field(
    desk: httpx.Client, about: dict[str, Any], words: str
) -> None:
    """A refusal names the field, and nothing is kept."""
    answer = say(desk, "f1", "resolved", **about)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_a_credential_speaks_for_its_own_tenant(gateway: GatewayRig) -> None:
    """Feedback on a session is of the tenant that the token is of, whatever it says."""
    open_one = gateway.open(references=("ticket",))
    answer = say(open_one, "f1", "resolved", session="s", tenant="acme")
    assert answer.status_code == 202
    assert say(open_one, "f2", "resolved", session="s").status_code == 202
    tenants = [one.tenant for one in gateway.sink.feedback(2)]
    assert tenants == ["acme", "default"]


def test_an_empty_user_names_nobody(
    desk: httpx.Client, gateway: GatewayRig, tmp_path: Path
) -> None:
    """As in requests: the feedback is about the session, and is not lost on a person called so."""
    a = ask(desk, "Hello.", [], user="ada", headers={"X-Rlwd-Session": "chat-7"})
    assert say(desk, "f1", "resolved", session="chat-7", user="").status_code == 202
    ledger = joined(gateway, tmp_path, 2)
    assert [one["signal"]["kind"] for one in told(ledger, a)["feedback"]] == ["resolved"]
    ledger.store.close()

"""Events that products write themselves are redacted at ingest, before the state has a word of them."""

import pytest
from ledger_by_hand import FEEDBACK, Ledger, feedback, generation

from rlwd.streams.events.input_message import InputMessage
from rlwd.streams.events.signals import Accepted, Asked, Edited
from rlwd.streams.events.tool_use import ToolCall
from rlwd.streams.redaction.privacy import PrivacySettings

MAIL = "anna@posteo.de"


def contents(ledger: Ledger) -> str:
    return repr(
        [bytes(value) for (value,) in _rows(ledger, "SELECT payload FROM contents")]
        + [bytes(value) for (value,) in _rows(ledger, "SELECT payload FROM feedback")]
    )


def _rows(ledger: Ledger, sql: str) -> list[tuple[bytes]]:
    with ledger.store.reading() as view:
        return list(view.execute(sql).fetchall())


def test_nothing_of_it_reaches_the_state(ledger: Ledger) -> None:
    """Text, thought, call, input with who says it, edit and channel are redacted; the answer ends by its own fate."""
    call = ToolCall(id="c", name="mail", arguments=f'{{"to": "{MAIL}"}}', parses=True, fits=True)
    said = InputMessage(role="user", text=f"mail {MAIL}", name=MAIL)
    ledger.take(
        generation("g1", 1.0, text=MAIL, reasoning=MAIL, tool_calls=(call,), input=(said,)),
        generation("g2", 1.0),
    )
    edit = Edited(final_text=f"to {MAIL}")
    ledger.take(feedback("f1", "g1", edit, 2.0), partition=FEEDBACK)
    ledger.take(feedback("f2", "g1", Accepted(), 2.0), partition=FEEDBACK)
    ledger.take(feedback("f3", "g2", Accepted(), 2.0), partition=FEEDBACK)
    asked = Asked(question="q", probability=0.5, channel=f"mail to {MAIL}")
    ledger.take(feedback("f4", "g1", asked, 2.0), partition=FEEDBACK)
    held = contents(ledger)
    assert MAIL not in held
    assert held.count("[mail]") == 7
    assert ledger.fates() == {"excluded:redacted": 1, "waiting": 1}


def test_what_its_writer_looked_at_is_taken_as_it_is(ledger: Ledger) -> None:
    """A gateway has looked once; nobody pays for it twice."""
    ledger.take(generation("g1", 1.0, text=MAIL, redacted=()))
    assert MAIL in contents(ledger)


def test_a_tenant_may_switch_it_off(ledger: Ledger) -> None:
    """Then the record is kept as it came."""
    ledger.joiner.reader.privacy = PrivacySettings(redact=False)
    ledger.take(generation("g1", 1.0, text=MAIL))
    assert MAIL in contents(ledger)


@pytest.mark.parametrize(
    ("privacy", "ends", "held"),
    [
        (PrivacySettings(consent="opt_in"), "excluded:no_consent", 0),
        (PrivacySettings(purposes=("share",)), "excluded:not_for_training", 1),
        (PrivacySettings(purposes=("train", "share")), "waiting", 1),
    ],
)
def test_where_no_purposes_are_named_the_tenants_are(
    ledger: Ledger, privacy: PrivacySettings, ends: str, held: int
) -> None:
    """Who asks first and writes the topics names them; else the record is counted and not kept."""
    ledger.joiner.reader.privacy = privacy
    ledger.take(generation("g1", 1.0))
    ledger.take(feedback("f1", "g1", Accepted(), 2.0), partition=FEEDBACK)
    assert ledger.fates() == {ends: 1}
    assert ledger.ask("SELECT COUNT(*) FROM contents") == (held,)

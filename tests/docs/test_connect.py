"""docs/connect.md says what the code takes: its files, headers, fields, signals and refusals."""

import re
from pathlib import Path

import msgspec
import pytest
from shown_files import PAGES, files_shown, with_files

from rlwd.daemon.callers.identity import identify
from rlwd.daemon.callers.posted import Posted
from rlwd.ops.flags.flag_state import VariantValue
from rlwd.streams.events.signals import DAEMONS_OWN, SIGNALS, ErrorClass, Statement

ROOT = Path(__file__).parents[2]
CONNECT = (ROOT / "docs" / "connect.md").read_text()
NOT_SHOWN = {"examples/node/package.json"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_the_files_as_they_are(page: Path) -> None:
    """What stands on the page is the file that the tests run: `make docs` brings it up to date."""
    assert page.read_text() == with_files(page.read_text())


def test_every_example_is_shown() -> None:
    """No example lies about that no page shows."""
    there = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "examples").rglob("*")
        if path.suffix in (".py", ".mjs", ".sh", ".toml", ".json") and "build" not in path.parts
    }
    assert there - NOT_SHOWN == files_shown(CONNECT)


def test_every_signal_is_shown_with_its_fields() -> None:
    """The table has each kind of signal, in the code's order, with each of its fields."""
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|[^|]+\|$", CONNECT, re.MULTILINE))
    for signal in SIGNALS:
        if signal in DAEMONS_OWN:
            assert all(f"`{field.name}`" in CONNECT for field in msgspec.structs.fields(signal))
            continue
        fields = rows[str(signal.__struct_config__.tag)]
        for field in msgspec.structs.fields(signal):
            assert f"`{field.name}`" in fields
    for word in (*Statement.__args__, *ErrorClass.__args__):  # type: ignore[attr-defined]
        assert f"`{word}`" in CONNECT


def test_every_field_of_feedback_is_shown() -> None:
    """The table has each field that a post may hold."""
    for field in msgspec.structs.fields(Posted):
        assert f"\n| `{field.name}` |" in CONNECT


def test_every_header_is_shown_and_read() -> None:
    """Each header of the table changes who is seen to ask; so does its name in `metadata`."""
    rows = re.findall(r"^\| `X-Rlwd-([\w-]+)` \| `(\w+)`", CONNECT, re.MULTILINE)
    assert len(rows) == 9
    nobody = identify({}, {}, b"", "")
    for header, name in rows:
        value = "false" if name == "consent" else "a-value"
        by_header = identify({f"X-Rlwd-{header}": value}, {}, b"", "")
        by_body = identify({}, {"metadata": {name: value}}, b"", "")
        field = {"user": "user_hash", "consent": "purposes"}.get(name, name)
        assert getattr(by_header, field) == getattr(by_body, field) != getattr(nobody, field)


def test_the_flags_value_is_shown() -> None:
    """The OFREP answer on the page has every field of a variant's value."""
    for field in msgspec.structs.fields(VariantValue):
        assert f'"{field.name}": "' in CONNECT

"""Redaction: what is found, what is not, and that no text can make it slow."""

import importlib
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest

from rlwd.streams.redaction import credentials, personal
from rlwd.streams.redaction.credentials import OVERLAP, PIECE, pieces
from rlwd.streams.redaction.redactor import TextMemory, redact

MAXREPEAT: Any = importlib.import_module("re._constants").MAXREPEAT

FOUND = [
    ("write to anna.k+work@mail.posteo.de.", "write to [mail]."),
    ("mailto:<anna@posteo.de>", "mailto:<[mail]>"),
    ("邮箱anna@posteo.de谢谢", "邮箱[mail]谢谢"),
    ("call +49 (0)30 1234567 now", "call [phone] now"),
    ("call 0049 30 1234567", "call [phone]"),
    ("(212) 555-0187 or 212-555-0187", "[phone] or [phone]"),
    ("06 12 34 56 78", "[phone]"),
    ("0171 1234567", "[phone]"),
    ("card 4111 1111 1111 1111, 12/29", "card [card], 12/29"),
    ("card 378282246310005", "card [card]"),
    ("pay DE89 3704 0044 0532 0130 00 THANKS", "pay [iban] THANKS"),
    ("GB29NWBK60161331926819", "[iban]"),
    ("from 93.184.216.34: refused", "from [ip]: refused"),
    ("from 2606:2800:220:1:248:1893:25c8:1946", "from [ip]"),
    ("id AKIAIOSFODNN7EXAMPLE", "id [aws_key]"),
    ("postgres://rlwd:hunter2@db/x", "postgres://rlwd:[password]@db/x"),
    ("push with ghp_" + "a1B2" * 9, "push with [github_token]"),
    ("npm_" + "a1B2" * 9, "[npm_token]"),
    ("key sk-proj-" + "a1B2-c3_" * 6, "key [api_key]"),
    ("xoxb-123456789012-abcdefABCDEF", "[slack_token]"),
    ("sk_live_" + "a1B2c3" * 4, "[stripe_key]"),
    ("bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF_123", "bearer [web_token]"),
    (
        "x\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\ny",
        "x\n[private_key]\ny",
    ),
    ("-----BEGIN PRIVATE KEY-----\nMIIE and nothing more", "[private_key]"),
]
FOUND += [
    ("mail anna\uff20example.com now", "mail [mail] now"),
    ("anna\u200b@exam\u00adple.com", "[mail]"),
    ("https://x.org/?to=anna%40example.com", "https://x.org/?to=[mail]"),
    ('{"to": "anna\\u0040example.com"}', '{"to": "[mail]"}'),
    ("\uff14\uff11\uff11\uff11 1111 1111 1111", "[card]"),
    (
        "\u0664\u0661\u0661\u0661 \u0661\u0661\u0661\u0661 \u0661\u0661\u0661\u0661 \u0661\u0661\u0661\u0661",
        "[card]",
    ),
    ("a git@home.example.org address", "a [mail] address"),
]
# As tools' arguments have them: JSON, in which a line feed is a backslash and a letter.
FOUND += [
    (r'{"body": "Call:\n+49 30 12345678\nBye"}', r'{"body": "Call:\n[phone]\nBye"}'),
    (r'{"body": "x\t0171 1234567"}', r'{"body": "x\t[phone]"}'),
    (r'{"body": "x\n4111 1111 1111 1111"}', r'{"body": "x\n[card]"}'),
    (r'{"body": "x\rDE89370400440532013000"}', r'{"body": "x\r[iban]"}'),
    (r'{"body": "x\n8.8.8.8"}', r'{"body": "x\n[ip]"}'),
    (r'{"body": "x\n2606:2800:220:1:248:1893:25c8:1946"}', r'{"body": "x\n[ip]"}'),
    (r'{"body": "x\nanna@posteo.de"}', r'{"body": "x\n[mail]"}'),
    (r'{"key": "x\nnpm_' + "a1B2" * 9 + '"}', r'{"key": "x\n[npm_token]"}'),
    (r'{"key": "x\nsk-' + "a1B2" * 9 + '"}', r'{"key": "x\n[api_key]"}'),
    (r'{"a": "\uff14\uff11\uff11\uff11 1111 1111 1111"}', '{"a": "[card]"}'),
    (r'{"to": "\u00e4nna\uff20posteo.de"}', '{"to": "[mail]"}'),
]
# As models and pages write numbers, and people in other letters their addresses.
FOUND += [
    ("call +1\u2011212\u2011555\u20110187", "call [phone]"),
    ("call +49\u00a030\u00a012345678", "call [phone]"),
    ("card 4111\u202f1111\u202f1111\u202f1111", "card [card]"),
    ("pay DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000", "pay [iban]"),
    ("pay de89 3704 0044 0532 0130 00 thanks", "pay [iban] thanks"),
    ("?tel=%2B493012345678", "?tel=[phone]"),
    ("<a>anna&#64;posteo.de</a>", "<a>[mail]</a>"),
    ("an j\u00fcrgen@m\u00fcller.de", "an [mail]"),
    ("\u0438\u0432\u0430\u043d@\u043f\u043e\u0447\u0442\u0430.\u0440\u0444", "[mail]"),
]
LEFT = [
    "de89370400440532013000de89370400440532013000 is a digest in hex",
    r'{"column": "4111\n1111\n1111\n1111", "other": "0049\t3012\t3456\t7890"}',
    r"C:\new\table\u0041, a\n1. b\n2. c",
    "10\u201320\u00a0km, 2019\u20132026",
    "git clone git@github.com:org/repo.git, or ssh://git@github.com/org/repo",
    "50%40 of it \U0001f469\u200d\U0001f4bb\ufe0f and \uff08so\uff09 \u0663\u0664",
    "Anna Kowalska lives in Torun.",
    "4111111111111112 has a wrong last digit; 1763942400000000 is a time in microseconds",
    "DE89370400440532013001 has a wrong checksum",
    "listen on 127.0.0.1:8080, 0.0.0.0, 10.1.2.3 and [::1]",
    "at 12:30:45 on 2026-11-21, std::vector<int> x = a[1:2:3]",
    "sha256:d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35",
    "password = os.environ['PASSWORD']",
    "@dataclass\nclass A: x: int = 1_000_000 + 1000000",
    "scores 0.123456789 0.987654321 and 100000.5 200000.5",
]


@pytest.mark.parametrize(("text", "clean"), FOUND)
def test_what_is_found_says_what_it_was(text: str, clean: str) -> None:
    """The place is taken by the kind's name; what stands around it stays."""
    found = redact(text)
    assert found.text == clean
    assert {f"[{kind}]" for kind in found.kinds} == set(re.findall(r"\[[a-z_]+\]", clean))


@pytest.mark.parametrize("text", LEFT)
def test_what_is_left(text: str) -> None:
    """Names have no form, and what only looks like a number of somebody's stays."""
    assert redact(text) == (text, frozenset())


def test_a_redacted_text_stays_as_it_is() -> None:
    """What ingest reads again, it finds nothing in."""
    for text, clean in FOUND:
        assert redact(clean).text == clean, text


def test_a_secret_between_two_pieces_is_found_whole() -> None:
    """Wherever it stands, and however long it is."""
    token = "ghp_" + "a1B2" * 9
    for place in (PIECE - OVERLAP - 3, PIECE - 20, PIECE - 3, 3 * PIECE):
        assert redact("x " * (place // 2) + token).text == "x " * (place // 2) + "[github_token]"
    long = "eyJ" + "a" * 3 * PIECE + "." + "b" * 3 * PIECE + ".c"
    assert redact(f"<{long}>").text == "<[web_token]>"


class Counting:
    """A pattern that notes how much of a text it is shown."""

    def __init__(self, pattern: re.Pattern[str], seen: list[int]) -> None:
        self.pattern, self.seen = pattern, seen

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        self.seen.append(len(text))
        return self.pattern.finditer(text)


@pytest.mark.parametrize("unit", ["eyJ", "aws key '", "xoxa-1-", "://a:", "glagent-", "AKIA -us1 "])
def test_a_hostile_text_costs_its_length(monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    """No pattern of detect-secrets, some of which are quadratic, sees more than a piece at once."""
    seen: list[int] = []
    counting: Any = tuple(
        (kind, signs, tuple(Counting(one, seen) for one in patterns))
        for kind, signs, patterns in credentials._PATTERNS
    )
    monkeypatch.setattr(credentials, "_PATTERNS", counting)
    text = (unit * 1_000_000)[:1_000_000]
    redact(text)
    assert max(seen, default=0) <= PIECE
    patterns = sum(len(patterns) for *_, patterns in counting)
    assert sum(seen) <= patterns * len(text) * PIECE / (PIECE - OVERLAP) * 1.01


def steps(parsed: Any) -> float:
    """Return how many characters one attempt to match may look at; possessive repeats look once."""
    total = 0.0
    for op, value in parsed:
        name = str(op)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            most = value[1] if value[1] != MAXREPEAT else math.inf
            total += most * max(1.0, steps(value[2]))
        elif name == "SUBPATTERN":
            total += steps(value[3])
        elif name == "BRANCH":
            total += sum(steps(one) for one in value[1])
        else:
            total += 1.0
    return total


def test_our_own_patterns_are_bounded() -> None:
    """An attempt to match looks at a bounded stretch, or runs through one run without going back."""
    parser: Any = importlib.import_module("re._parser")
    ours = [one for one in vars(personal).values() if isinstance(one, re.Pattern)]
    ours += [one for one in vars(credentials).values() if isinstance(one, re.Pattern)]
    ours += [pattern for _, pattern in credentials._OWN]
    assert len(ours) >= 10
    assert {
        one.pattern: steps(parser.parse(one.pattern))
        for one in ours
        if not steps(parser.parse(one.pattern)) < 5000
    } == {}
    assert steps(parser.parse("a*b")) == math.inf


def test_pieces_cover_the_text() -> None:
    """Every character is in one, and every stretch as long as the overlap whole in one."""
    for length in (0, 1, PIECE, PIECE + 1, 3 * PIECE + 5):
        found = list(pieces("x" * length))
        ends = [start + len(piece) for start, piece in found]
        assert ends[-1] == length
        assert all(end - start >= OVERLAP for end, (start, _) in zip(ends, found[1:], strict=False))


def test_a_text_seen_before_is_remembered() -> None:
    """Both outcomes are, and the text is not held."""
    memory = TextMemory()
    for _ in range(2):
        assert memory.kinds("anna@posteo.de") == {"mail"}
        assert memory.kinds("nothing here") == frozenset()


def test_the_products_own_is_exempt_however_it_is_written() -> None:
    """An address in a link is the same address."""
    own = {"@acme.com"}
    assert redact("mailto?to=help%40acme.com or help\uff20acme.com", own).kinds == frozenset()
    assert redact("mailto?to=help%40other.com", own).kinds == {"mail"}

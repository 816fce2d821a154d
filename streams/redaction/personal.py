"""Personal: what identifies a person by its form: mail, phone, card, IBAN and IP address.

A pattern here either has a bounded length or begins only where its run of characters begins, so that
each is linear in the text. What a form alone does not tell, a check does: Luhn for cards, ISO 7064 for
IBANs (ISO 13616, with each country's length), `ipaddress` for addresses. Names of people have no form.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """A place in a text that is to be replaced."""

    start: int
    """Its first character."""
    end: int
    """The one after its last."""
    kind: str
    """What stands there."""


_LETTERS = "A-Za-z\u00c0-\u024f\u0370-\u04ff"
"""Latin, Greek and Cyrillic: scripts that put spaces between words, so that an address ends with its word."""
_LOCAL = "0123456789._%+-" + "".join(
    filter(re.compile(f"[{_LETTERS}]").match, map(chr, range(0x500)))
)
# Begun at a sign that is rare, and read backwards from there: far faster than a search for letters.
_MAIL_HOST = re.compile(
    rf"@(?:[{_LETTERS}0-9-]{{1,63}}\.){{1,8}}(?:xn--[a-z0-9-]{{2,59}}|[{_LETTERS}]{{2,24}})"
)
_V6_REST = re.compile(r":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]{0,30}(?![\w:])")
_RUN = re.compile(r"\d[\d .()/:-]{5,}+")
"""What cards, phones and addresses are made of; the patterns below look only there."""
_PHONE = re.compile(
    # +49 (0)30 1234567, 0049 30 1234567
    r"(?<![\w+)\]])(?:\+|00)[1-9](?:[ ().\-/]{0,2}\d){8,14}(?!\w)"
    # (212) 555-0187, 212-555-0187
    r"|(?<![\w.\-])(?:\([2-9]\d\d\) ?\d{3}-\d{4}|[2-9]\d\d([.-])\d{3}\1\d{4})(?![\w-])"
    # 06 12 34 56 78, 0171 1234567
    r"|(?<![\w.\-])0[1-9](?:(?:[ .]\d\d){4}|\d{1,3}[ /-]\d{6,8})(?![\w-])"
)
_CARD = re.compile(r"(?<![\w.-])[2-6](?:[ -]?\d){12,18}(?![\w-])")
_IBAN = re.compile(
    r"(?<![A-Za-z0-9])(?:[A-Z]{2}\d\d(?: ?[A-Z0-9]){11,30}|[a-z]{2}\d\d(?: ?[a-z0-9]){11,30})"
)
_V4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)")
_IBAN_REACH = 44
"""Most characters of an IBAN, with its spaces."""

_IBAN_LENGTHS = {
    code[:2]: int(code[2:])
    for code in [
        "AD24",
        "AE23",
        "AL28",
        "AT20",
        "AZ28",
        "BA20",
        "BE16",
        "BG22",
        "BH22",
        "BR29",
        "BY28",
        "CH21",
        "CR22",
        "CY28",
        "CZ24",
        "DE22",
        "DK18",
        "DO28",
        "EE20",
        "EG29",
        "ES24",
        "FI18",
        "FO18",
        "FR27",
        "GB22",
        "GE22",
        "GI23",
        "GL18",
        "GR27",
        "GT28",
        "HR21",
        "HU28",
        "IE22",
        "IL23",
        "IQ23",
        "IS26",
        "IT27",
        "JO30",
        "KW30",
        "KZ20",
        "LB28",
        "LC32",
        "LI21",
        "LT20",
        "LU20",
        "LV21",
        "LY25",
        "MC27",
        "MD24",
        "ME22",
        "MK19",
        "MR27",
        "MT31",
        "MU30",
        "NL18",
        "NO15",
        "PK24",
        "PL28",
        "PS29",
        "PT25",
        "QA29",
        "RO24",
        "RS22",
        "SA24",
        "SC31",
        "SE24",
        "SI19",
        "SK24",
        "SM27",
        "ST25",
        "SV28",
        "TL23",
        "TN24",
        "TR26",
        "UA29",
        "VA22",
        "VG24",
        "XK20",
    ]
}


def luhn(digits: str) -> bool:
    """Return whether a card's last digit fits the others.

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    odd = sum(map(int, digits[-1::-2]))
    return (odd + sum(sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])) % 10 == 0


def _is_card(text: str) -> bool:
    digits = text.replace(" ", "").replace("-", "")
    first = digits[:2]
    known = digits[0] in "46" or "51" <= first <= "55" or first in ("34", "35", "36", "37", "38")
    known = known or "22" <= first <= "27" or first in ("50", "56", "57", "58")
    return known and len(set(digits)) > 1 and luhn(digits)


def _iban(found: re.Match[str]) -> int:
    text = found[0].upper()
    wanted = _IBAN_LENGTHS.get(text[:2], 0)
    told = [place for place, one in enumerate(text) if one != " "][:wanted]
    if not wanted or len(told) < wanted:
        return 0
    compact = "".join(text[place] for place in told)
    number = "".join(str(int(one, 36)) for one in compact[4:] + compact[:4])
    stop = told[-1] + 1
    if found[0][0].islower() and text[stop : stop + 1].isalnum():
        # So begins many a digest in hex.
        return 0
    return found.start() + stop if int(number) % 97 == 1 else 0


def _is_public(address: str) -> bool:
    try:
        # What is private, reserved or of this machine is nobody's.
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def personal_spans(text: str) -> Iterator[Span]:
    """Yield what identifies a person; places may overlap.

    >>> [(s.kind, "write to a@b.org"[s.start:s.end]) for s in personal_spans("write to a@b.org")]
    [('mail', 'a@b.org')]
    """
    if "@" in text:
        yield from _mails(text)
    if ":" in text:
        yield from _long_addresses(text)
    runs = [found.span() for found in _RUN.finditer(text)]
    for start, end in runs:
        # One that a sign or a bracket opens begins before its digits; what follows is looked at.
        yield from _in_run(text, max(0, start - 2), end + 2)
    for start, end in _merged(runs):
        for found in _IBAN.finditer(text, start, end):
            if stop := _iban(found):
                yield Span(found.start(), stop, "iban")


def _in_run(text: str, start: int, end: int) -> Iterator[Span]:
    for found in _CARD.finditer(text, start, end):
        if _is_card(found[0]):
            yield Span(*found.span(), "card")
    for found in _V4.finditer(text, start, end):
        if _is_public(found[0]):
            yield Span(*found.span(), "ip")
    for found in _PHONE.finditer(text, start, end):
        yield Span(*found.span(), "phone")


def _mails(text: str) -> Iterator[Span]:
    for found in _MAIL_HOST.finditer(text):
        before = text[max(0, found.start() - 64) : found.start()]
        local = len(before) - len(before.rstrip(_LOCAL))
        # The login of every repository's server is nobody's address: git@host:owner/name.git.
        if before[-local - 1 : -local] == "\\" and before[-local] in "nrtbf":
            # The end of an escaped line feed or the like, in arguments of tools.
            local -= 1
        is_login = before[-local:] == "git" and text[found.end() : found.end() + 1] in (":", "/")
        if local and not is_login:
            yield Span(found.start() - local, found.end(), "mail")


def _long_addresses(text: str) -> Iterator[Span]:
    for found in _V6_REST.finditer(text):
        start = found.start() - 4
        if start >= 0 and text[start] in "23" and (start == 0 or not text[start - 1].isalnum()):
            stop = found.end() - (text[found.end() - 1] == ":" and text[found.end() - 2] != ":")
            if _is_public(text[start:stop]):
                yield Span(start, stop, "ip")


def _merged(runs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return where an IBAN may stand that holds one of these runs."""
    found: list[tuple[int, int]] = []
    for start, end in runs:
        begins, ends = max(0, start - _IBAN_REACH), end + _IBAN_REACH
        if found and begins <= found[-1][1]:
            found[-1] = (found[-1][0], ends)
        else:
            found.append((begins, ends))
    return found

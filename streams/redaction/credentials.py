"""Credentials: keys and tokens, by the plugins of detect-secrets whose patterns name their issuer.

Its guesses are left out: high entropy and words beside an equals sign take digests, ids and code for
secrets. A plugin is asked only where the text holds what its secrets are known by, and piece by piece:
some of its patterns are quadratic, so none ever sees more than `PIECE` characters at once.
"""

import re
from collections.abc import Iterator

from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.base import RegexBasedDetector
from detect_secrets.plugins.basic_auth import BasicAuthDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector

from .personal import Span

PIECE, OVERLAP = 1024, 256
"""Characters that a pattern sees at once, and how many of them it sees again with the next ones."""

_GITLAB: tuple[str, ...] = (
    *("glpat-", "gldt-", "glft-", "glsoat-", "glrt-", "gr1348941", "glcbt-", "glimt-", "glptt-"),
    *("glagent-", "gloas-"),
)
_BY_PLUGIN: tuple[tuple[str, tuple[str, ...], type[RegexBasedDetector]], ...] = (
    ("aws_key", ("a3t", "abia", "acca", "akia", "asia", "aws"), AWSKeyDetector),
    ("azure_key", ("accountkey=",), AzureStorageKeyDetector),
    ("github_token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), GitHubTokenDetector),
    ("gitlab_token", _GITLAB, GitLabTokenDetector),
    ("mailchimp_key", ("-us",), MailchimpDetector),
    ("password", ("://",), BasicAuthDetector),
    ("pypi_token", ("pypi-ag",), PypiTokenDetector),
    ("sendgrid_key", ("sg.",), SendGridDetector),
    ("slack_token", ("xox", "hooks.slack"), SlackDetector),
    ("square_secret", ("sq0csp-",), SquareOAuthDetector),
    ("stripe_key", ("k_live_",), StripeDetector),
)
"""What a secret is called, what of it stands in a text's lower case, and who knows its pattern."""
_PATTERNS = tuple((kind, signs, tuple(plugin().denylist)) for kind, signs, plugin in _BY_PLUGIN)
# What detect-secrets has in a form that costs the square of a text's length, or finds the head of only.
_OWN = (
    ("api_key", re.compile(r"(?<![\w-])sk-[A-Za-z0-9_-]{20,}+")),
    ("npm_token", re.compile(r"(?<![\w-])npm_[A-Za-z0-9]{36}(?!\w)")),
    ("web_token", re.compile(r"(?<![\w=-])eyJ[\w=-]{8,}+\.[\w=-]{8,}+(?:\.[\w=-]*+)?")),
)
_OWN_SIGNS = ("sk-", "npm_", "eyJ")
_KEY_HEAD = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_TAIL = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_MORE = re.compile(r"[\w+/=-]{0,4096}", re.ASCII)


def credential_spans(text: str) -> Iterator[Span]:
    """Yield keys and tokens; places may overlap."""
    for (kind, pattern), sign in zip(_OWN, _OWN_SIGNS, strict=True):
        if sign in text:
            yield from (Span(*found.span(), kind) for found in pattern.finditer(text))
    if "PRIVATE KEY" in text:
        yield from _private_keys(text)
    lower = text.lower()
    for kind, signs, patterns in _PATTERNS:
        for sign in signs:
            if sign in lower:
                yield from _by_pieces(text, kind, patterns)
                break


def pieces(text: str) -> Iterator[tuple[int, str]]:
    """Yield what a pattern sees at once, and where each begins.

    >>> [(start, len(piece)) for start, piece in pieces("x" * 2000)]
    [(0, 1024), (768, 1024), (1536, 464)]
    """
    start = 0
    while True:
        yield start, text[start : start + PIECE]
        if start + PIECE >= len(text):
            return
        start += PIECE - OVERLAP


def _by_pieces(text: str, kind: str, patterns: tuple[re.Pattern[str], ...]) -> Iterator[Span]:
    for start, piece in pieces(text):
        for pattern in patterns:
            for found in pattern.finditer(piece):
                group = 1 if kind == "password" else 0
                begins, ends = (start + place for place in found.span(group))
                # A pattern may know the head of a token only, and a piece may end inside it.
                rest = _MORE.match(text, ends) if kind != "password" else None
                yield Span(begins, ends if rest is None else rest.end(), kind)


def _private_keys(text: str) -> Iterator[Span]:
    place = 0
    while (head := _KEY_HEAD.search(text, place)) is not None:
        tail = _KEY_TAIL.search(text, head.end())
        # Without its end, all that follows may be the key.
        place = len(text) if tail is None else tail.end()
        yield Span(head.start(), place, "private_key")

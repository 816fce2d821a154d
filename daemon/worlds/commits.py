"""Commits: changes to a program, the wordings in which a team asks for a commit message, and its taste.

The taste can be checked from the text and stands in no prompt. Some things, kinds of change and wordings
are never asked for while a policy learns: they tell whether it learned the taste or the questions.
"""

import random
import re
from dataclasses import dataclass

LONGEST_WORDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeKind:
    """A kind of change."""

    now: str
    """What is done, `{thing}` being what it is done to: "add a timeout to {thing}"."""
    was: str
    """The same once it is done."""
    says: re.Pattern[str]
    """Any sensible word for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change, and how somebody asks what to call it."""

    kind: str
    """Name of its kind."""
    thing: str
    """What was changed."""
    wording: str
    """Name of the wording."""

    @property
    def prompt(self) -> str:
        """What the person types."""
        kind, article = KINDS[self.kind], f"the {self.thing}"
        return WORDINGS[self.wording].format(
            now=kind.now.format(thing=article), was=kind.was.format(thing=article)
        )

    @property
    def message(self) -> str:
        """What the person would write."""
        text = KINDS[self.kind].now.format(thing=f"the {self.thing}")
        return text[0].upper() + text[1:]


def _kind(now: str, was: str, says: str) -> ChangeKind:
    return ChangeKind(now=now, was=was, says=re.compile(rf"\b(?:{says})", re.IGNORECASE))


KINDS = {
    "fix": _kind(
        "fix a crash in {thing}",
        "fixed a crash in {thing}",
        r"fix|repair|resolv|correct|prevent|handl|address|stop|no longer crash",
    ),
    "add": _kind(
        "add a timeout to {thing}",
        "added a timeout to {thing}",
        r"add|introduc|implement|includ|creat|set|new\b|give",
    ),
    "remove": _kind(
        "remove dead code from {thing}",
        "removed dead code from {thing}",
        r"remov|delet|drop|clean|strip|eliminat|cut|prun",
    ),
    "document": _kind(
        "document {thing}",
        "documented {thing}",
        r"document|describ|explain|docs?\b",
    ),
    "speed": _kind(
        "make {thing} faster",
        "made {thing} faster",
        r"speed|sped|fast|optimi[sz]|accelerat|quick|performance",
    ),
    "simplify": _kind(
        "simplify {thing}",
        "simplified {thing}",
        r"simpl|refactor|clean|tid(?:y|ied)|streamlin|reduc",
    ),
    "disable": _kind(
        "disable {thing} by default",
        "disabled {thing} by default",
        r"disabl|turn(?:s|ed|ing)? off|switch(?:es|ed|ing)? off|deactivat|off by default",
    ),
    "log": _kind(
        "log errors of {thing}",
        "logged errors of {thing}",
        r"log|record|trac(?:e|ing)|report",
    ),
    "rename": _kind(
        "rename the options of {thing}",
        "renamed the options of {thing}",
        r"renam|new names?\b|chang\w* (?:the )?names?",
    ),
    "move": _kind(
        "move {thing} to its own file",
        "moved {thing} to its own file",
        r"mov|extract|relocat|split|separat|put|own file",
    ),
    "test": _kind(
        "test {thing}",
        "tested {thing}",
        r"test|cover|check|verif",
    ),
}
"""Kinds of change by name."""
NEW_KINDS = ("rename", "move", "test")
"""Kinds that nobody asks about while the policy learns."""

THINGS = (
    *("login form", "user list", "search index", "payment page", "export job", "cache layer"),
    *("build script", "settings menu", "upload button", "audit log", "date picker", "mail queue"),
    *("invoice template", "config parser", "retry loop", "image loader", "session store"),
    *("error page", "report filter", "backup task", "comment box", "profile page", "data importer"),
    *("rate limiter", "price table", "signup wizard", "task scheduler", "event stream"),
)
"""What a team changes."""
NEW_THINGS = (
    *("password reset", "map view", "shopping cart", "release notes", "color theme"),
    *("video player", "access token", "chat window"),
)
"""Things that nobody asks about while the policy learns."""

WORDINGS = {
    "short": "Write a short git commit message for this change: {now}",
    "for": "Commit message for: {was}",
    "what": "I {was}. What do I write as the commit message?",
    "name": "Please name this commit. I {was}.",
    "dash": "git commit -m for the following change: {now}",
    "one": "One commit message please. What changed: we {was}.",
    "give": "Give me a commit message. The task was to {now}.",
    "today": "We {was} today. How should the commit be called?",
    "log": "For the git log, in a few words: I had to {now}",
    "did": "I did this: {now}. Give me the commit message.",
    "sum": "Summarise my work for the version history: I {was}.",
    "title": "What would be a good title for a commit in which we {was}?",
}
"""Ways to ask, by name."""
NEW_WORDINGS = ("did", "sum", "title")
"""Ways in which nobody asks while the policy learns."""

KNOWN_KINDS = tuple(name for name in KINDS if name not in NEW_KINDS)
KNOWN_WORDINGS = tuple(name for name in WORDINGS if name not in NEW_WORDINGS)


def draw_change(rng: random.Random) -> Change:
    """Draw what somebody asks for next; nothing of what is held out."""
    return Change(
        kind=rng.choice(KNOWN_KINDS), thing=rng.choice(THINGS), wording=rng.choice(KNOWN_WORDINGS)
    )


def draw_unseen(rng: random.Random) -> Change:
    """Draw a thing and a kind of change that were never asked about, in a wording that was."""
    return Change(
        kind=rng.choice(NEW_KINDS), thing=rng.choice(NEW_THINGS), wording=rng.choice(KNOWN_WORDINGS)
    )


def draw_reworded(rng: random.Random) -> Change:
    """Draw a thing and a kind that were asked about, in a wording that never was."""
    return Change(
        kind=rng.choice(KNOWN_KINDS), thing=rng.choice(THINGS), wording=rng.choice(NEW_WORDINGS)
    )


def is_wanted(change: Change, answer: str) -> bool:
    """Return whether an answer is what the team wants as a commit message.

    One line of at most twelve words that names the thing and what was done to it, and does not speak of
    itself as a commit or a message.

    >>> change = Change(kind="fix", thing="login form", wording="short")
    >>> is_wanted(change, "Fixed the crash of the login form"), is_wanted(change, "Add a login form")
    (True, False)
    """
    text = answer.strip()
    said = " ".join(re.findall(r"[a-z]+", text.lower()))
    return (
        has_shape(text)
        and f" {change.thing} " in f" {said} "
        and KINDS[change.kind].says.search(text) is not None
        and not re.search(r"\b(?:commit|message)", text, re.IGNORECASE)
    )


def has_shape(answer: str) -> bool:
    """Return whether an answer is one line of one to twelve words."""
    text = answer.strip()
    return "\n" not in text and 1 <= len(text.split()) <= LONGEST_WORDS

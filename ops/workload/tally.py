"""Tally: what one pass over the answers of a segment counts; the rest of a profile is made of it."""

import heapq
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from ...streams.answers.observed import ObservedAnswer
from ...streams.join.fate import MIRRORED, NO_CAPTURE, NO_CONSENT, SIDE_REQUEST
from .people_and_sessions import PersonTally, SessionTally
from .verdicts import ONE_SIDED, DecisiveNames, PointingAct, left_by_edit, parts_of, verdicts

DAY = 86400.0
MOST_PAUSE = 900.0
"""Seconds after which a person who has not acted is taken to have been elsewhere."""
READ_SECOND = 50.0
"""Tokens that a quick reader reads in a second, as `trust.reading_speed`; sooner, nobody had read it."""
ALIKE_AT_MOST = 4000
"""Newest decided answers of a segment whose requests are looked at for likeness."""
NOT_LEARNED = frozenset((MIRRORED, NO_CAPTURE, NO_CONSENT, SIDE_REQUEST))
"""Fates by which an answer is kept out before any feedback counts."""


class SeenTime(NamedTuple):
    """The time that a profile is of."""

    begin: float
    """Epoch seconds."""
    end: float
    """Epoch seconds, after `begin`."""

    @property
    def days(self) -> float:
        """Its length."""
        return (self.end - self.begin) / DAY


class DecidedRequest(msgspec.Struct, frozen=True, order=True, gc=False):
    """A decided answer whose request may be like another one's."""

    received: float
    """Epoch seconds."""
    generation_id: str
    """Its name."""
    content: int
    """Where its record is."""
    user: str
    """Whom it was given to; never empty."""
    taken: bool
    """What was decided."""


@dataclass(slots=True, kw_only=True)
class SegmentTally:
    """Answers of one segment, or of all of them."""

    answers: int = 0
    """Answers that people were given; what a harness asked for on its own is not among them."""
    side: int = 0
    """What a harness asked for on its own."""
    uncounted: int = 0
    """Answers of which nobody counted tokens."""
    unnamed: int = 0
    """Answers to nobody whom the product named."""
    read: int = 0
    """Tokens read."""
    written: int = 0
    """Tokens written."""
    kept_out: Counter[str] = field(default_factory=Counter)
    """Answers that were excluded from training, by fate."""
    people: defaultdict[str, PersonTally] = field(default_factory=lambda: defaultdict(PersonTally))
    """By hashed user."""
    sessions: dict[tuple[str, str], SessionTally] = field(default_factory=dict)
    """By tenant and name."""
    matured: int = 0
    """Answers old enough for a decision, of those that may be learned from."""
    matured_decided: int = 0
    """Of these, the ones that somebody decided on."""
    decided: int = 0
    """Answers with a reward."""
    reward: float = 0.0
    """Sum of the rewards."""
    taken: int = 0
    """Answers that somebody took, each act once."""
    acted_on: int = 0
    """Answers with any act."""
    kinds: Counter[str] = field(default_factory=Counter)
    """Answers with an act of a kind."""
    deciding: Counter[str] = field(default_factory=Counter)
    """Answers by the kind that decided first."""
    delays: "array[float]" = field(default_factory=lambda: array("d"))
    """Seconds from the answer to the first decision."""
    pauses: "array[float]" = field(default_factory=lambda: array("d"))
    """Seconds from the answer to a person's first act, up to MOST_PAUSE."""
    hasty: int = 0
    """Decisions that came before anybody could have read the answer."""
    first_taken: int = 0
    """Answers whose first decision was to take them."""
    taken_back: int = 0
    """Of these, the ones that were undone."""
    later: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    """First decisions by their kind, the kind of a later word on the same answer, and whether they agree."""
    edits: int = 0
    """Answers that somebody edited."""
    left: float = 0.0
    """Sum of what the edits left of them."""
    keeps: int = 0
    """Answers of which it was measured how much was kept."""
    kept: float = 0.0
    """Sum of what was kept."""
    numbers: defaultdict[str, list[float]] = field(
        default_factory=lambda: defaultdict(lambda: [0.0, 0.0])
    )
    """Of each number of the product's own: how many answers have it, and the sum."""
    newest: list[DecidedRequest] = field(default_factory=list)
    """The newest decided answers, a heap."""

    def add(
        self, answer: ObservedAnswer, seen: SeenTime, decides: DecisiveNames, wait: float
    ) -> None:
        """Take in one answer; `wait` is how long a decision on it may take, in seconds."""
        if answer.side:
            self.side += 1
            return
        self.answers += 1
        if answer.tokens is None:
            self.uncounted += 1
        self.read += answer.prompt_tokens or 0
        self.written += answer.tokens or 0
        session = self._session(answer)
        if answer.fate.startswith("excluded:"):
            self.kept_out[answer.fate] += 1
        if answer.fate not in NOT_LEARNED and answer.received + wait <= seen.end:
            self.matured += 1
            self.matured_decided += answer.reward is not None
        left = left_by_edit(parts_of(answer))
        pointing = verdicts(answer, decides, left)
        self._acts(answer, left)
        taken = self._decision(answer, pointing)
        session.taken += taken
        session.decided += answer.reward is not None
        self._person(answer, seen)

    def _session(self, answer: ObservedAnswer) -> SessionTally:
        # Where nobody named one, each answer stands alone.
        key = answer.tenant, answer.session or answer.generation_id
        session = self.sessions.get(key)
        if session is None:
            session = self.sessions[key] = SessionTally(answer.received)
        session.first = min(session.first, answer.received)
        session.answers += 1
        session.calls += answer.tool_calls or 0
        session.switches += answer.link in ("subagent", "summary")
        for one in answer.acts:
            session.switches += "changed_subject" in one.act.found
        tokens = (answer.prompt_tokens or 0) + (answer.tokens or 0)
        session.longest = max(session.longest, tokens)
        if answer.link in ("", "subagent", "summary"):
            session.begun += tokens
        return session

    def _acts(self, answer: ObservedAnswer, left: float | None) -> None:
        kinds = {one.act.kind for one in answer.acts}
        self.acted_on += bool(kinds)
        self.kinds.update(kinds)
        if "edited" in kinds and left is not None:
            self.edits += 1
            self.left += left
        if "kept" in kinds:
            kept = [one.act for one in answer.acts if one.act.kind == "kept"]
            self.keeps += 1
            self.kept += max(kept, key=lambda one: one.horizon_seconds or 0.0).fraction or 0.0
        person = (one for one in answer.acts if one.person and one.act.kind not in _NOT_THEIRS)
        if (first := next(person, None)) is not None:
            pause = first.acted - answer.received
            if pause <= MOST_PAUSE:
                self.pauses.append(pause)
        for name, value in answer.numbers.items():
            self.numbers[name][0] += 1
            self.numbers[name][1] += value

    def _decision(self, answer: ObservedAnswer, pointing: list[PointingAct]) -> int:
        """Take in what was decided; return 1 where the answer was taken, each act once."""
        if answer.reward is None:
            return 0
        self.decided += 1
        self.reward += answer.reward
        first = next((one for one in pointing if one.decisive), None)
        if first is None:
            # By what points neither way, or by what the spec gives silence.
            return 0
        delay = first.acted - answer.received
        self.deciding[first.kind] += 1
        self.delays.append(delay)
        self.hasty += delay < (answer.tokens or 0) / READ_SECOND and first.kind != "tool_result"
        self._later(first, pointing)
        old = len(self.newest) == ALIKE_AT_MOST and answer.received < self.newest[0].received
        if answer.user and answer.content is not None and not old:
            one = DecidedRequest(
                answer.received, answer.generation_id, answer.content, answer.user, first.taken
            )
            keep = heapq.heappush if len(self.newest) < ALIKE_AT_MOST else heapq.heappushpop
            keep(self.newest, one)
        taken = int(answer.reward >= 0.5 and any(one.own for one in pointing if one.decisive))
        self.taken += taken
        return taken

    def _later(self, first: PointingAct, pointing: list[PointingAct]) -> None:
        after = [one for one in pointing if one.acted > first.acted and one.kind != first.kind]
        self.first_taken += first.taken
        self.taken_back += first.taken and any(one.kind == "undone" for one in after)
        said = [one for one in after if one.kind not in ONE_SIDED]
        if said:
            self.later[first.kind, said[-1].kind, said[-1].taken == first.taken] += 1

    def _person(self, answer: ObservedAnswer, seen: SeenTime) -> None:
        if not answer.user:
            self.unnamed += 1
            return
        person, day = self.people[answer.user], 1 << int((answer.received - seen.begin) // DAY)
        person.days |= day
        if answer.reward is not None:
            person.decided_days |= day
            person.count += 1
            person.total += answer.reward
            person.squares += answer.reward**2


_NOT_THEIRS = frozenset(
    ("tool_result", "checked", "measured", "judged", "outcome", "kept", "asked", "unknown_signal")
)
"""Kinds of act that take a person no time then."""

"""People and sessions: what each of them had in the time seen."""

import msgspec


class PersonTally(msgspec.Struct, gc=False):
    """What one person did, by the days of the time seen."""

    days: int = 0
    """A bit for each day with an answer."""
    decided_days: int = 0
    """A bit for each day with a decided answer."""
    count: int = 0
    """DecidedRequest answers."""
    total: float = 0.0
    """Sum of their rewards."""
    squares: float = 0.0
    """Sum of the squares."""


class SessionTally(msgspec.Struct, gc=False):
    """What one session had."""

    first: float
    """When its first answer was received, epoch seconds."""
    answers: int = 0
    """Answers."""
    calls: int = 0
    """Calls of tools."""
    switches: int = 0
    """Subagents and summaries that it went on in, and changes of subject that were read."""
    begun: int = 0
    """Tokens, read and written, of answers that go on from no other."""
    longest: int = 0
    """Tokens, read and written, of the longest answer."""
    decided: int = 0
    """DecidedRequest answers."""
    taken: int = 0
    """Answers that were taken, each act once."""

    @property
    def tokens(self) -> int:
        """Tokens of the session as one sequence, each once, as the learner goes over it."""
        return max(self.begun, self.longest)

    def merge(self, other: "SessionTally") -> None:
        """Take in a session that this one started."""
        self.first = min(self.first, other.first)
        self.answers += other.answers
        self.calls += other.calls
        self.switches += other.switches
        self.decided += other.decided
        self.taken += other.taken
        # A subagent's prompt is its own: its tokens are in no other sequence.
        self.begun, self.longest = self.tokens + other.tokens, 0

"""Arrival: an event that a poll brought, on its way into the tables."""

from typing import NamedTuple

from ..events.event import Event
from ..log.ports import Record
from .offsets import Counts


class Arrival(NamedTuple):
    """One record that holds an event, or a signal that follows from one."""

    event: Event
    """What the record says."""
    record: Record
    """Where it stands on the log, and its bytes."""
    received: float
    """When the event was received, epoch seconds."""
    due: float
    """Until when its episode waits for a decision, by what this event says of it."""
    read_until: float
    """Until when its episode waits at least, since it was read only now."""
    fate: str
    """For a generation: `waiting`, or the rule that excludes it at once."""
    counts: Counts
    """Where it is counted."""
    origin: str = ""
    """For a signal that nobody posted: the generation whose record says so."""

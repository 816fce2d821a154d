"""Stage: how far an episode has come; its fate says where it ends."""

from enum import StrEnum


class EpisodeStage(StrEnum):
    """How far an episode has come, as the column `stage` holds it."""

    ORPHAN = "orphan"
    """Feedback came, and its generation has not."""
    OPEN = "open"
    """Nothing decisive came yet; the episode is censored when its horizon has been read past."""
    SCORED = "scored"
    """The episode has a reward and waits until its spec says that it is ready."""
    READY = "ready"
    """The episode may be sealed into a batch."""
    SEALED = "sealed"
    """The episode is in a batch; from here on a revision counts as after training."""
    CLOSED = "closed"
    """The episode's fate is final."""

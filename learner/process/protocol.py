"""Protocol: JSON lines between the daemon and its learner child. Importable without torch.

One command at a time: after each the child reports, and then says `asking` again. The manifest on
disk is the truth; these lines are hints that spare polling.
"""

import msgspec

NO_ROOM = 5
"""Status of a child that ended because the disk takes no checkpoint."""
CLOSED = 6
"""Status of one whose training service does nothing until somebody changes something: key, account, model."""


class Apply(msgspec.Struct, frozen=True, kw_only=True, tag="apply", tag_field="kind"):
    """Daemon to child: update the policy with this sealed batch."""

    path: str
    """File of the sealed batch."""


class Skip(msgspec.Struct, frozen=True, kw_only=True, tag="skip", tag_field="kind"):
    """Daemon to child: give this batch up; a checkpoint lists it, the weights stay."""

    path: str
    """File of the sealed batch."""
    reason: str
    """Why, for people."""


class RollBackTo(msgspec.Struct, frozen=True, kw_only=True, tag="rollback", tag_field="kind"):
    """Daemon to child: go back to the bits of a checkpoint, in a new one."""

    to_sequence: int
    """The checkpoint whose weights, moments and trackers are taken up again."""


class Prune(msgspec.Struct, frozen=True, kw_only=True, tag="prune", tag_field="kind"):
    """Daemon to child: nothing names these checkpoints any more; keep their manifests alone."""

    sequences: tuple[int, ...]
    """Numbers of the checkpoints."""


Command = Apply | Skip | RollBackTo | Prune


class TrafficSlow(msgspec.Struct, frozen=True, kw_only=True, tag="traffic", tag_field="kind"):
    """Daemon to child, in the middle of a command too, and not answered: people's requests are slow."""

    seconds: float
    """For so long from now on, where the daemon does not say it again: one that hangs holds nobody up.
    0: they are not any more."""


class LearnerReady(msgspec.Struct, frozen=True, kw_only=True, tag="ready", tag_field="kind"):
    """Child to daemon, once: a checkpoint is restored or made."""

    sequence: int
    """Of that checkpoint."""
    version: str
    """Of that checkpoint."""


class Asking(msgspec.Struct, frozen=True, kw_only=True, tag="asking", tag_field="kind"):
    """Child to daemon: idle, give me a command."""

    sequence: int
    """Of the newest checkpoint: the parent of the next batch."""


class StepsDone(msgspec.Struct, frozen=True, kw_only=True, tag="progress", tag_field="kind"):
    """Child to daemon: optimizer steps made within the batch."""

    batch_id: int
    """The batch at work."""
    done: int
    """Optimizer steps made."""
    of: int
    """Optimizer steps in all."""


class Working(msgspec.Struct, frozen=True, kw_only=True, tag="working", tag_field="kind"):
    """Child to daemon, at each step of its start and now and then before a forward pass: it does not hang."""


class Yielding(msgspec.Struct, frozen=True, kw_only=True, tag="yielding", tag_field="kind"):
    """Child to daemon: it pauses for people's requests, or did."""

    seconds: float
    """How long this pause has lasted."""
    over: bool
    """Whether it goes on working now."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True, tag="waiting", tag_field="kind"):
    """Child to daemon: it cannot go on until somebody else can; nothing is lost meanwhile."""

    reason: str
    """What it waits for, for people; empty once it does not any more."""


class Checkpointed(msgspec.Struct, frozen=True, kw_only=True, tag="checkpoint", tag_field="kind"):
    """Child to daemon: this checkpoint is durable (or was already, where the batch was applied)."""

    sequence: int
    """Of the checkpoint."""
    version: str
    """Of the checkpoint."""


class BatchFailed(msgspec.Struct, frozen=True, kw_only=True, tag="batch_failed", tag_field="kind"):
    """Child to daemon: given up; a checkpoint with the batch under `skipped` is durable."""

    batch_id: int
    """The batch given up."""
    reason: str
    """Why, for people."""
    sequence: int
    """Of that checkpoint."""
    fault: bool = True
    """False where nothing was wrong and there was nothing to learn from."""


class Pruned(msgspec.Struct, frozen=True, kw_only=True, tag="pruned", tag_field="kind"):
    """Child to daemon: of these checkpoints only the manifests are left."""

    sequences: tuple[int, ...]
    """Numbers of the checkpoints."""


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended", tag_field="kind"):
    """Child to daemon, at last: it cannot go on, and a new one could not either until that changes."""

    reason: str
    """Why, for people: the setting, file or model at fault."""


Report = (
    LearnerReady
    | Asking
    | StepsDone
    | Working
    | Yielding
    | Waiting
    | Checkpointed
    | BatchFailed
    | Pruned
    | Ended
)

_COMMANDS = msgspec.json.Decoder(Command | TrafficSlow)
_REPORTS = msgspec.json.Decoder(Report)


def encode_line(message: Command | TrafficSlow | Report) -> bytes:
    """Write one line, with its newline."""
    return msgspec.json.encode(message) + b"\n"


def decode_command(line: bytes) -> Command | TrafficSlow:
    """Read one line of the daemon's; raises msgspec.ValidationError or msgspec.DecodeError."""
    command: Command | TrafficSlow = _COMMANDS.decode(line)
    return command


def decode_report(line: bytes) -> Report:
    """Read one line of the child's; raises msgspec.ValidationError or msgspec.DecodeError."""
    report: Report = _REPORTS.decode(line)
    return report

"""Arguments: the command line of a learner's process."""

import argparse
from pathlib import Path
from typing import NamedTuple


class Arguments(NamedTuple):
    """The command line."""

    settings: Path
    """File of `LearnerProcessSettings`."""
    rank: int
    """0 for the one that the daemon starts."""
    port: int
    """Where rank 0 waits for the others."""


def read_arguments() -> Arguments:
    """Read the command line of this process; ends it with a message where that is wrong."""
    parser = argparse.ArgumentParser(
        prog="rlwd.learner.process.main", description="The learner's process"
    )
    parser.add_argument(
        "--settings", type=Path, required=True, help="LearnerProcessSettings as JSON"
    )
    parser.add_argument("--rank", type=int, default=0, help="of a process that rank 0 starts")
    parser.add_argument("--port", type=int, default=0, help="where rank 0 waits for it")
    given = parser.parse_args()
    return Arguments(given.settings, given.rank, given.port)

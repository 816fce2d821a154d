"""`python -m rlwd.learner.tiny.pretrain FOLDER --steps N --examples FILE`: makes a demo's tiny policy.

Prints `done of` after each step, so that a caller can show the progress.
"""

import argparse
from pathlib import Path

import msgspec

from ...streams.quick_imports import quick_imports
from .lesson import Lesson


class Course(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a tiny policy is taught, as a JSON file."""

    examples: list[tuple[str, str] | Lesson]
    """Lessons, or pairs of a user's text and the answer to it."""
    words: tuple[str, ...] = ()
    """Texts that are one token each."""
    tools: bool = False
    """Whether its chat template has tools and calls of them, as Hermes models write them."""


def main() -> None:
    """Make and pre-train a tiny policy as the arguments say."""
    parser = argparse.ArgumentParser(description="Make and pre-train a tiny policy.")
    parser.add_argument("folder", type=Path, help="where the Hugging Face folder goes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument(
        "--examples", type=Path, required=True, help="JSON file of what it is taught"
    )
    given = parser.parse_args()
    course = msgspec.json.decode(given.examples.read_bytes(), type=Course)

    with quick_imports():
        from .hermes import HERMES_TEMPLATE
        from .model import CHAT_TEMPLATE, make_tiny_policy

    make_tiny_policy(
        given.folder,
        seed=given.seed,
        steps=given.steps,
        examples=course.examples,
        chat_template=HERMES_TEMPLATE if course.tools else CHAT_TEMPLATE,
        words=course.words,
        progress=lambda done, of: print(done, of, flush=True),
    )


if __name__ == "__main__":
    main()

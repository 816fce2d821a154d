"""`python -m rlwd.learner.tiny.pretrain FOLDER --steps N --examples FILE`: makes the demo's tiny policy.

Prints `done of` after each step, so that a caller can show the progress.
"""

import argparse
from pathlib import Path

import msgspec


def main() -> None:
    """Make and pre-train a tiny policy as the arguments say."""
    parser = argparse.ArgumentParser(description="Make and pre-train a tiny policy.")
    parser.add_argument("folder", type=Path, help="where the Hugging Face folder goes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument(
        "--examples", type=Path, required=True, help="JSON list of [prompt, answer]"
    )
    given = parser.parse_args()
    examples = msgspec.json.decode(given.examples.read_bytes(), type=list[tuple[str, str]])

    from .model import make_tiny_policy

    make_tiny_policy(
        given.folder,
        seed=given.seed,
        steps=given.steps,
        examples=examples,
        progress=lambda done, of: print(done, of, flush=True),
    )


if __name__ == "__main__":
    main()

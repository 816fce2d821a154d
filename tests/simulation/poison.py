"""`python -m poison`: the demo's policy under attack, with the guards and without; the table of docs/trust.md.

Eight seeds of four lives each, an hour on one core: single lives swing by several points. What is
shown is the share of people's answers that were what they wanted, over the last five of twelve versions.
"""

import argparse
import tempfile
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from statistics import fmean

import structlog
import torch
from poison_policies import TablePolicy, Taught, TinyPolicy
from poison_world import Attack, Crowd, accept_rates
from simulate import written

from rlwd.learner.ledger.weighed import Trust

LAST = 5
ARMS = {
    "nobody attacks, no guards": (None, None),
    "nobody attacks, guards": (None, Trust()),
    "attack, no guards": (Attack(), None),
    "attack, guards": (Attack(), Trust()),
}
DOCUMENT = Path(__file__).parents[2] / "docs" / "trust.md"


def final_rates(
    make: Callable[[int], Taught], seed: int, arms: Collection[str], rounds: int, asked: int
) -> dict[str, float]:
    """Return the last accept rate of each arm, printed as it comes; each has a new policy."""
    found = {}
    for name, (attack, trust) in ARMS.items():
        if name not in arms:
            continue
        crowd = Crowd(seed=seed, attack=attack, trust=trust, rounds=rounds, asked=asked)
        print(f"seed {seed}, {name}:", end="", flush=True)
        rates = []
        for rate in accept_rates(crowd, make(seed)):
            rates.append(rate)
            print(f" {rate:.2f}", end="", flush=True)
        found[name] = fmean(rates[-LAST:])
        print(f"; the last {LAST}: {found[name]:.3f}", flush=True)
    return found


def poison_table(rows: dict[int, dict[str, float]]) -> str:
    """Return the table of final rates by arm and seed, and by how much the attack moved them."""
    lines = [
        "| | " + " | ".join(f"seed {seed}" for seed in rows) + " | mean |",
        "| --- |" + " ---: |" * (len(rows) + 1),
    ]
    shown = {name: [row[name] for row in rows.values()] for name in ARMS}
    for guards in ("no guards", "guards"):
        calm, hit = shown[f"nobody attacks, {guards}"], shown[f"attack, {guards}"]
        shown[f"moved by the attack, {guards}"] = [b - a for a, b in zip(calm, hit, strict=True)]
    for name, values in shown.items():
        sign = "+" if name.startswith("moved") else ""
        cells = [f"{value:{sign}.3f}" for value in (*values, fmean(values))]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run the experiment and write its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--asked", type=int, default=256, help="people's requests in a round")
    parser.add_argument("--policy", choices=("tiny", "table"), default="tiny")
    parser.add_argument("--arm", choices=ARMS, action="append", help="this one alone, no table")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--folder", type=Path, help="keeps the policies that were pre-trained")
    parser.add_argument("--print-only", action="store_true", help="leave the document as it is")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as aside:
        rows = {
            seed: final_rates(
                partial(TinyPolicy, given.folder or Path(aside))
                if given.policy == "tiny"
                else TablePolicy,
                seed,
                given.arm or ARMS,
                given.rounds,
                given.asked,
            )
            for seed in range(1, given.seeds + 1)
        }
    if given.arm:
        return
    table = poison_table(rows)
    print(table)
    if not given.print_only:
        DOCUMENT.write_text(written(DOCUMENT.read_text(), "poison", table))


if __name__ == "__main__":
    main()

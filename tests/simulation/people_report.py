"""`python -m people_report`: lives with sparse, late, noisy people, and the tables of docs/people.md.

`make proof PART=crowd` runs it life by life. `--policy tiny` lives them with the demo's policy: a minute of a core for 2,500 decided answers. Each life is a
file in `--folder`, so that a run goes on where it was stopped; the tables name the seeds that were not lived.
"""

import argparse
import math
import tempfile
from pathlib import Path

import msgspec
import structlog
import torch
from lagged_life import Living, Table, Tiny
from people_cases import CASES, Case
from people_life import PeopleLife
from people_picture import draw_people
from people_tables import answers_table, waste_table
from people_told import Told, changed_at, over, told
from simulate import written

from rlwd.daemon.worlds.habits import SCENARIOS
from rlwd.daemon.worlds.people import People
from rlwd.daemon.worlds.tastes import StylesTastes

SEEDS = (1, 2, 3)
AFTER = 500
"""Answers that a life goes on for once people are served well."""
LONGEST = 4000
"""Answers to people that decide on all of them, by which a life ends; more where they decide on few."""
DOCUMENT = Path(__file__).parents[2] / "docs" / "people.md"


def most_answers(case: Case) -> int:
    """Return the most answers that people get in a life."""
    habits = SCENARIOS[case.scenario]
    if habits.changes_at is not None:
        return 2 * habits.changes_at
    return int(LONGEST / math.pow(habits.answers, 0.75))


def live(case: Case, policy: str, seed: int, base: Path) -> Told:
    """Live one life and say what came of it."""
    model: Path | None = None
    learned: Living
    if policy == "tiny":
        tiny = Tiny(base, seed, pretrained=0, **case.learner)
        learned, model = tiny, tiny.folder
    else:
        learned = Table(seed, trust_region="decoupled", **case.learner)
    habits, terms = SCENARIOS[case.scenario], case.terms(model)
    people = People(StylesTastes(seed), habits, seed=seed, users=terms.users)
    with tempfile.TemporaryDirectory() as folder:
        life = PeopleLife(learned, people, terms, Path(folder), seed)
        pinned = case.pins_after is None
        while not over(life, most_answers(case), AFTER):
            life.turn()
            if not pinned and _time_to_pin(case, life):
                life.pin(0)
                pinned = True
        found = told(life)
        life.ledger.store.close()
    return found


def _time_to_pin(case: Case, life: PeopleLife) -> bool:
    change = changed_at(life)
    return change is not None and len(life.peoples()) >= change + (case.pins_after or 0)


def main() -> None:
    """Live what is not lived yet, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", choices=("tiny", "table"), default="table")
    parser.add_argument("--only", default="", help="cases whose name begins so")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--folder", type=Path, default=Path("people-lives"))
    parser.add_argument("--print-only", action="store_true", help="leave the document as it is")
    parser.add_argument("--tables-only", action="store_true", help="live nothing")
    given = parser.parse_args()
    if not any(case.name.startswith(given.only) for case in CASES):
        parser.error(f"--only {given.only}: no case's name begins so")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    torch.set_num_threads(1)
    lives = given.folder / given.policy
    lives.mkdir(parents=True, exist_ok=True)
    found = dict[tuple[str, int], Told]()
    for seed in given.seeds:
        for case in CASES:
            if given.policy == "table" and case.words:
                continue
            file = lives / f"{case.name}, {seed}.json"
            asked = not given.tables_only and case.name.startswith(given.only)
            if asked and not file.exists():
                one = live(case, given.policy, seed, given.folder / "base")
                one = msgspec.structs.replace(one, settings=case.settings)
                file.write_bytes(msgspec.json.encode(one))
            if file.exists():
                one = msgspec.json.decode(file.read_bytes(), type=Told)
                if one.settings not in ("", case.settings):
                    parser.error(f"{file}: was lived by other settings; move it away")
                found[case.name, seed] = one
                print(case.name, seed, one.until, one.again, f"{one.final:.3f}", flush=True)
    if not given.print_only and given.policy == "tiny":
        draw_people(found, given.seeds, DOCUMENT.with_suffix(".png"))
    for name, table in (
        (f"{given.policy} answers", answers_table(found, given.seeds)),
        (f"{given.policy} waste", waste_table(found, given.seeds)),
    ):
        print(table)
        if not given.print_only:
            DOCUMENT.write_text(written(DOCUMENT.read_text(), name, table))


if __name__ == "__main__":
    main()

"""Told by people: what a life with people came to, as one record that JSON can hold."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

import msgspec
from people_life import WINDOW, Given, PeopleLife

from rlwd.daemon.demo.curve import rolling
from rlwd.daemon.worlds.people import hostile
from rlwd.daemon.worlds.styles import KINDS
from rlwd.learner.ledger.weighed import weighed_counts
from rlwd.ops.rollout.problems import release_problems
from rlwd.ops.stages.settings import RolloutSettings

ENOUGH = 0.8
LAST = 500
EVERY = 50


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a life; answers are people's, without the attackers'."""

    until: int | None
    """Answers until 0.80 of the last 200 were what was wanted; None: never."""
    said: int | None
    """Of these, how many somebody decided on."""
    again: int | None
    """Answers from the change of taste until that of the new one; None: never, or no change."""
    said_again: int | None
    """Of these, how many somebody decided on."""
    final: float
    """Share of the last 500 that were what was wanted."""
    first_kind: tuple[float, float]
    """The same of the kind of work in which the other team differs: the one team's, the other's."""
    answers: int
    """Answers given to people."""
    hours: float
    """Simulated."""
    promoted: int
    """Versions."""
    refused: int
    """Versions taken back."""
    fates: dict[str, float]
    """Shares of all generations, attackers' included."""
    late: int
    """Feedback that came after its answer was sealed or given up."""
    weight: dict[str, float]
    """Mean weight of a sealed answer: of people who decide by the taste, by a coin, of attackers."""
    weighed_down: dict[str, int]
    """Answers by the factor that weighed them down."""
    memory: float
    """Answers of a segment that the tracker remembers, at the end, in the mean over segments."""
    problems: dict[str, str]
    """What `/statusz` would name."""
    curve: list[float]
    """Share of the last 200 that were what was wanted, every 50 answers."""
    settings: str = ""
    """What was lived, as `Case.settings` has it; empty of lives from before that was kept."""


def reached(given: Sequence[Given], begin: int = 0) -> tuple[int | None, int | None]:
    """Return after how many answers from `begin` on people were served well, and how many they decided on."""
    means = rolling([one.wanted for one in given[begin:]], WINDOW)
    place = next((n for n, m in enumerate(means) if n + 1 >= WINDOW and m >= ENOUGH), None)
    if place is None:
        return None, None
    before = given[begin - 1].said if begin else 0
    return place + 1, given[begin + place].said - before


def changed_at(life: PeopleLife) -> int | None:
    """Return how many answers people had before their taste changed; None where it did not yet."""
    at = life.people.habits.changes_at
    if at is None or len(life.given) <= at:
        return None
    return sum(not hostile(one.user) for one in life.given[:at])


def over(life: PeopleLife, most: int, after: int) -> bool:
    """Return whether a life may end: so many answers after people are served well, or at the most."""
    given, change = life.peoples(), changed_at(life)
    if len(given) >= most:
        return True
    if life.people.habits.changes_at is not None and change is None:
        return False
    begin = change or 0
    until, _ = reached(given, begin)
    return until is not None and len(given) >= begin + until + after


def told(life: PeopleLife) -> Told:
    """Look at a life that is over."""
    given, change = life.peoples(), changed_at(life)
    until, said = reached(given if change is None else given[:change])
    again, said_again = (None, None) if change is None else reached(given, change)
    last = given[-LAST:]
    with life.ledger.store.reading() as view:
        problems = release_problems(view, "policy", RolloutSettings(), life.now)
        down = {name: less for name, (_, less) in weighed_counts(view, "policy").items() if less}
    fates, late = life.ledger.fates(), life.ledger.ask("SELECT SUM(late) FROM episodes")[0]
    wanted = rolling([one.wanted for one in given], WINDOW)
    return Told(
        until=until,
        said=said,
        again=again,
        said_again=said_again,
        final=sum(one.wanted for one in last) / len(last),
        first_kind=_by_team(life, given[-LAST:]),
        answers=len(given),
        hours=len(life.given) / life.terms.per_hour,
        promoted=sum(made.outcome == "champion" for made in life.made) - 1,
        refused=life.refused,
        fates={name: count / len(life.given) for name, count in fates.items()},
        late=late or 0,
        weight=_weights(life),
        weighed_down=down,
        memory=_memory(life),
        problems=problems,
        curve=[round(one, 3) for one in wanted[WINDOW - 1 :: EVERY]],
    )


def _by_team(life: PeopleLife, last: Sequence[Given]) -> tuple[float, float]:
    shares = []
    for team in (0, 1):
        own = [
            one.wanted
            for one in last
            if one.segment.startswith(KINDS[0]) and life.people.team(one.user) == team
        ]
        shares.append(sum(own) / max(len(own), 1))
    return shares[0], shares[1]


def _weights(life: PeopleLife) -> dict[str, float]:
    found = defaultdict[str, list[float]](list)
    with life.ledger.store.reading() as view:
        rows = view.execute(
            "SELECT e.user_hash, COALESCE(w.weight, 1.0) FROM episodes e LEFT JOIN weighed w"
            " ON w.policy = e.policy AND w.generation_id = e.generation_id"
            " WHERE e.batch_id IS NOT NULL"
        ).fetchall()
    for user, weight in rows:
        kind = "attackers" if hostile(user) else "others"
        found["by a coin" if life.people.decides_by_coin(user) else kind].append(weight)
    return {kind: fmean(weights) for kind, weights in sorted(found.items())}


def _memory(life: PeopleLife) -> float:
    settings = life.policy.settings
    known = life.policy.estimators.tracker.segments.values()
    return fmean(1.0 / (1.0 - one.rho(settings)) for one in known) if known else 0.0

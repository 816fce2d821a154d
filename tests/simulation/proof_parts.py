"""Proof parts: what is proven by runs of minutes or hours, and the command of each of their seeds.

A command is what follows the Python of this environment; in it `{folder}` is the part's own folder and
`{state}` that of all parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rlwd.daemon.hacks.hack_run import SHAPE
from rlwd.daemon.worlds.agent import HACKS
from rlwd.daemon.worlds.habits import SCENARIOS

SEEDS = (0, 1, 2)
FOLDS = (0, 1, 2, 3)
DEMO = ("-m", "rlwd.daemon", "demo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One seed of a part."""

    name: str
    """Its own within the part."""
    seed: int
    """Seed, or fold of people."""
    command: tuple[str, ...]
    """What is run."""
    reports: tuple[str, ...] = ()
    """Files in the part's folder that it leaves when it is done; its output alone where there are none."""
    minutes: float
    """How long it took on two cores, roughly."""
    broker: bool = False
    """Whether a Kafka broker of its own is started for it, where one can be had."""
    needs: tuple[str, ...] = ()
    """Files of other parts, in the folder of all, without which it cannot begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One question, and the runs that answer it."""

    name: str
    """As `PART=` takes it."""
    asks: str
    """The question."""
    page: str
    """Where its figures stand."""
    runs: tuple[Run, ...]
    """In the order in which they are run."""
    data: bool = False
    """Whether the folder of recorded feedback must be there, which `RLWD_DATA` names."""
    ends: tuple[tuple[str, ...], ...] = field(default=())
    """Commands that show or write what all runs came to, once any of them is done."""


def _real() -> Part:
    return Part(
        name="real",
        asks="does a model that others made learn what a team wants?",
        page="docs/small_models.md",
        runs=tuple(
            Run(
                name=f"seed-{seed}",
                seed=seed,
                command=_open_model(seed, f"seed-{seed}", "--seconds", "2000"),
                reports=(f"seed-{seed}.json",),
                minutes=25,
                broker=True,
            )
            for seed in SEEDS
        ),
        ends=(("-m", "real_runs", "{folder}"),),
    )


def _shape() -> Part:
    arms = [(seed, guard) for seed in SEEDS for guard in ("off", "on")]
    lives = [
        Run(
            name=f"life-{guard}-{seed}",
            seed=seed,
            command=(
                *("-m", "shape_hack", "--kept", "{folder}/lives", "--print-only"),
                *("--seeds", str(seed), "--guards", guard),
            ),
            reports=(f"lives/{SHAPE}-{guard}-{seed}.json",),
            minutes=40,
        )
        for seed, guard in arms
    ]
    whole = [
        Run(
            name=f"whole-{guard}-{seed}",
            seed=seed,
            command=_open_model(
                *(seed, f"whole-{guard}-{seed}", "--taste", "shape", "--guard", guard),
                *("--seconds", "1000"),
            ),
            reports=(f"whole-{guard}-{seed}.json",),
            minutes=20,
            broker=True,
        )
        for seed, guard in arms
    ]
    return Part(
        name="shape",
        asks="is a taste of shape alone hacked, and held by the guards?",
        page="docs/hacks.md",
        runs=(*lives, *whole),
    )


def _open_model(seed: int, name: str, *more: str) -> tuple[str, ...]:
    where = ("--folder", f"{{folder}}/{name}", "--report", f"{{folder}}/{name}.json")
    return (*DEMO, "--model", "smollm2", "--seed", str(seed), *where, *more)


def _hacks() -> Part:
    kept = ("-m", "hacks", "--kept", "{folder}/lives")
    lives = [
        Run(
            name=f"lives-{seed}",
            seed=seed,
            # It lives those that are missing, up to this seed.
            command=(*kept, "--seeds", str(seed + 1), "--print-only"),
            reports=tuple(
                f"lives/{hack}-{guard}-{seed}.json" for hack in HACKS for guard in ("off", "on")
            ),
            minutes=25,
        )
        for seed in SEEDS
    ]
    whole = [
        Run(
            name=f"whole-{hack}-{guard}-{seed}",
            seed=seed,
            command=(
                *(*DEMO, "--hack", hack, "--guard", guard, "--seed", str(seed)),
                *("--folder", f"{{folder}}/whole-{hack}-{guard}-{seed}"),
            ),
            reports=(f"whole-{hack}-{guard}-{seed}/hack.json",),
            minutes=9,
        )
        for seed in SEEDS
        for hack in HACKS
        for guard in ("off", "rollout", "on")
    ]
    return Part(
        name="hacks",
        asks="does a policy that may cheat do so, and do the guards keep it from it?",
        page="docs/hacks.md",
        runs=(*lives, *whole),
    )


def _crowd() -> Part:
    live = ("-m", "people_report", "--policy", "tiny", "--folder", "{folder}")
    scenarios = [
        Run(
            name=f"{scenario}-{seed}",
            seed=seed,
            command=(*live, "--only", f"{scenario}, default", "--seeds", str(seed), "--print-only"),
            reports=(f"tiny/{scenario}, default, {seed}.json",),
            minutes=10,
        )
        for seed in (1, 2, 3)
        for scenario in SCENARIOS
    ]
    against = [
        Run(
            name=f"settings-{seed}",
            seed=seed,
            command=(*live, "--seeds", str(seed), "--print-only"),
            minutes=120,
        )
        for seed in (1, 2, 3)
    ]
    return Part(
        name="crowd",
        asks="what of people who answer seldom, late, at random or against it?",
        page="docs/people.md",
        runs=(*scenarios, *against),
        ends=((*live, "--tables-only"),),
    )


def _people() -> Part:
    return Part(
        name="people",
        asks="do real people's decisions teach it anything about others?",
        page="docs/real_people.md",
        runs=tuple(
            Run(
                name=f"fold-{fold}",
                seed=fold,
                command=("-m", "real_people", "--out", "{folder}", "--fold", str(fold)),
                reports=(f"fold-{fold}.json",),
                minutes=25,
            )
            for fold in FOLDS
        ),
        data=True,
    )


def _estimators() -> Part:
    return Part(
        name="estimators",
        asks="which estimator needs the fewest answers?",
        page="docs/estimators.md",
        runs=(
            Run(name="world", seed=0, command=("-m", "estimator_report"), minutes=40),
            *(
                Run(
                    name=f"real-{seed}",
                    seed=seed,
                    command=(
                        *("-m", "real_log", f"{{state}}/real/seed-{seed}"),
                        *("--out", f"{{folder}}/real-{seed}.json"),
                    ),
                    reports=(f"real-{seed}.json",),
                    minutes=30,
                    needs=(f"real/seed-{seed}.json",),
                )
                for seed in SEEDS
            ),
        ),
    )


def _benchmark() -> Part:
    """Return both tables of versions on a benchmark: one by itself, and lines of them."""
    return Part(
        name="benchmark",
        asks="how bad must a version be to be refused, and a line of them?",
        page="docs/benchmark.md",
        runs=(
            Run(name="benchmark", seed=0, command=("-m", "replay_world"), minutes=3),
            Run(name="lines", seed=0, command=("-m", "replay_lines"), minutes=5),
        ),
    )


def _alone(name: str, asks: str, page: str, minutes: float, *command: str) -> Part:
    """Return a part that is one command, all its seeds in it."""
    only = Run(name=name, seed=0, command=command, minutes=minutes)
    return Part(name=name, asks=asks, page=page, runs=(only,))


PARTS = (
    _real(),
    _shape(),
    _hacks(),
    _crowd(),
    _people(),
    _estimators(),
    _alone(
        *("lanes", "what does each lane bring on the demo's policy?", "docs/lanes.md", 90),
        *("-m", "bench_lanes", "--policy", "tiny", "--folder", "{folder}/base"),
    ),
    _alone(
        *("forgetting", "does replay keep what nobody asks for?", "docs/staying.md", 25),
        *("-m", "bench_forgetting", "--folder", "{folder}/base"),
    ),
    _benchmark(),
    _alone(
        *("rollouts", "how often is a rollout decided wrongly?", "docs/statistics.md", 30),
        *("-m", "simulate"),
    ),
    _alone(
        *("drift", "is a habit that grows by small steps held?", "docs/behaviours.md", 5),
        *("-m", "slow_drift", "--lives", "25"),
    ),
    _alone(
        *("poison", "what can a crowd of attackers teach it?", "docs/trust.md", 90),
        *("-m", "poison", "--folder", "{folder}/base"),
    ),
)
"""In the order in which they are worth running."""


def parts_named(names: Sequence[str], parts: Sequence[Part] = PARTS) -> list[Part]:
    """Return the parts of these names, all of them for `all`; raises ValueError for a name that is none's."""
    known = {part.name: part for part in parts}
    if "all" in names:
        return list(parts)
    for name in names:
        if name not in known:
            raise ValueError(f"PART={name}: there is none; there are {', '.join(known)} and all")
    return [known[name] for name in dict.fromkeys(names)]

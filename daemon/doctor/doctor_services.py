"""Doctor, what runs around it: the daemon, its release, the gateway, MLflow."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from ...learner.ledger.learnable import unlearnable
from ...ops.drift.drift_budget import day_problem
from ...ops.rollout.crowd import crowd_problem
from ...ops.rollout.problems import release_problems
from ...ops.tool_errors.outages import read_outages
from ...streams.state.lease import read_holder
from ..began_with import BeganWith
from ..config import Config
from ..init.look_around import look_for_mlflow
from ..store import refuse_half, state_view
from .doctor_finding import Finding, fail, ok, warn

SECONDS = 5.0
REMEDIES = {
    "rollout": "`rlwd plan` says how many users a decision needs; see [rollout] and `rlwd status`",
    "crowd": "`rlwd plan` says what a crowd can show: `[rollout] deadline_seconds`, `margin`, `steps`",
    "holdout": "`rlwd report` says by week and version; `rlwd pin VERSION` serves an earlier one",
    "tools": "`/tools` on the daemon's pages has the answers; docs/tool_errors.md says what to do",
    "drift": "`rlwd report` shows the answers; `rlwd reject` or `rlwd rollback` refuses the version,"
    " `rlwd promote` takes it all the same; bars: [rollout.watch]",
    "benchmark": "`rlwd report` shows the answers; what the gate saw is not what people get: look at them, then `rlwd benchmark build`, `rlwd rollback`; docs/benchmark.md",
    "drift_budget": "it frees by itself; docs/staying.md has what to look at, and [learner.drift] day_kl",
    "mismatch": "docs/health.md says what to look at in the engine; a newer version whose batch agrees ends it,"
    " `[rollout.mismatch]` has the bars, and `rlwd promote` takes the version all the same",
    "late": "give [decision] and [horizons] of the reward spec the time that people take; an answer that"
    " somebody decided on is learned from at once all the same",
    "skipped": "docs/fates.md says what each rule asks for; `rlwd explain ID` tells of one answer",
    "learning": "see learner.max_policy_age and the last rollouts in `rlwd status`",
}


def check_services(config: Config) -> Iterator[Finding]:
    """Look at who runs, and whether they are ready."""
    yield from _in_charge(config)
    yield from _release(config)
    yield from _parent(config)
    yield _gateway(config)
    yield _mlflow(config)


def _in_charge(config: Config) -> Iterator[Finding]:
    try:
        refuse_half(config.state_path)
    except ValueError as problem:
        yield fail("daemon", str(problem), "give that command: nothing starts on half a state")
        return
    path = config.state_database
    if isinstance(path, Path) and not path.exists():
        yield warn("daemon", "was never started with this state", "`rlwd run`")
        return
    try:
        with state_view(path) as view:
            holder = read_holder(view, config.policy, time.time())
    except sqlite3.Error as problem:
        yield fail("daemon", f"{path}: {problem}", "restore the state database")
        return
    except (ConnectionError, ValueError) as problem:
        yield fail("daemon", str(problem), "start the database's server, and then `rlwd run`")
        return
    if holder is None or not holder.alive:
        yield warn("daemon", "nobody is in charge", "`rlwd run`")
        return
    yield ok("daemon", f"process {holder.pid} on {holder.host}, epoch {holder.epoch}")
    yield _ready("daemon", f"http://{config.http.host}:{config.http.port}", "problems")


def _release(config: Config) -> Iterator[Finding]:
    """Look at what the tables say of the release, whether the daemon runs or not."""
    try:
        with state_view(config.state_database) as view:
            problems = release_problems(view, config.policy, config.rollout, time.time())
            horizon = config.comparison.horizon_seconds or 0.0
            problems |= crowd_problem(view, config.policy, config.rollout, horizon)
            if drifted := day_problem(
                view, config.policy, config.learner.drift.day_kl, time.time()
            ):
                problems["drift_budget"] = drifted
            answers = unlearnable(view, config.policy)
            window = config.tool_errors.window_seconds
            outages = read_outages(view, config.policy, window, time.time())
    except (ValueError, ConnectionError, sqlite3.Error):
        return  # The daemon's own finding says what is wrong with the state.
    if answers:
        yield warn("answers", answers, "see the fates in `rlwd status`, and docs/connect.md")
    for down in outages.tools:
        yield warn(
            "outages", down.sentence, "the provider's status page, and `/tools` of the daemon"
        )
    if outages.excused:
        yield ok("outages", outages.sentence)
    for name, problem in problems.items():
        yield warn(f"release, {name}", problem, REMEDIES[name])


def _parent(config: Config) -> Iterator[Finding]:
    """Look at whether what a specialist began with still stands."""
    try:
        began = BeganWith(config)
        if not began.version:
            return
        taken_back, since = began.problem(), began.since()
    except (OSError, ValueError, sqlite3.Error) as problem:
        seen = f"its tables cannot be read, so nobody sees here what it takes back: {problem}"
        yield warn("parent", seen, "on its own host: `rlwd status` says what it rolled back")
        return
    if taken_back:
        yield warn("parent", taken_back, "`rlwd pause` meanwhile: no further version meets people")
    else:
        gone_on = "" if since is None else f"; {since.say}"
        yield ok("parent", f"{began.version}, which v0 was made from, stands{gone_on}")


def _gateway(config: Config) -> Finding:
    return _ready("gateway", f"http://{config.gateway.host}:{config.gateway.port}", "reasons")


def _ready(what: str, url: str, reasons: str) -> Finding:
    try:
        answer = httpx.get(f"{url}/readyz", timeout=SECONDS, trust_env=False)
        document = answer.json()
    except (httpx.HTTPError, ValueError):
        return warn(
            what, f"does not answer at {url}", f"`rlwd {'run' if what == 'daemon' else what}`"
        )
    if answer.status_code != 200:
        return warn(what, f"is not ready: {_in_words(document.get(reasons))}", "see its log")
    return ok(what, f"ready at {url}")


def _in_words(said: object) -> str:
    """Return what a page says is wrong, as a person reads it.

    >>> _in_words({"engine": "away", "log": "unread"}), _in_words(["no flags yet"])
    ('engine: away; log: unread', 'no flags yet')
    """
    if isinstance(said, dict):
        return "; ".join(f"{name}: {problem}" for name, problem in said.items())
    return "; ".join(map(str, said)) if isinstance(said, list) else str(said)


def _mlflow(config: Config) -> Finding:
    uri = config.mlflow.tracking_uri
    if not uri:
        return ok("mlflow", "off: mlflow.tracking_uri is empty")
    looked = look_for_mlflow(uri)
    if looked.there:
        return ok("mlflow", f"answers at {uri}, {looked.says}")
    says = looked.says or "nothing answers"
    return warn(
        "mlflow", f"{uri}: {says}", "start it, or correct it; the loop does not wait for it"
    )

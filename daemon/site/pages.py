"""Pages: which page is read from what; overview, rollouts, and all that lies below them."""

import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from ...ops.drift import alarms_table
from ...ops.flags.flag_reach import read_reach
from ...ops.rollout import champions_table, rollouts_table
from ...ops.tool_errors import calls_table
from ...rewards.spec.spec import reward_spec
from ...streams.log.ports import Partition
from ...streams.state.transaction import Transaction
from ..charts.chart import line_chart
from ..charts.curves import read_curves
from ..http.access import is_asked_here
from ..http.query import NotHere, known_name, known_values, whole_number
from ..lists.answer_list import read_answers
from ..lists.refused import read_letter, read_partition
from ..status.snapshot import describe, describe_reach
from ..views.answer import read_answer
from ..views.batch import read_batch, read_batches
from ..views.drift import read_drift
from ..views.gateways import read_gateway, read_silent
from ..views.health import read_health
from ..views.ledger import read_ledger, read_sums
from ..views.overview import overview
from ..views.problems import read_problems
from ..views.readings import read_readings
from ..views.readout import read_readout
from ..views.rollout_list import read_list
from ..views.runbook import sections
from ..views.signals import read_signals
from ..views.tools import read_tools
from ..views.triage import newest_week, read_triage
from ..views.trials import read_experiments, read_holdout
from .counted import PATIENCE_SECONDS, CountedOnce
from .frame import Handler, Site

SHOWN, LISTED = 8, 500
"""Rollouts on the overview, and in the list."""
EVIDENCE = 10
"""Answers that show a problem, at most."""


class Pages:
    """The pages of one daemon, each read from one view of its tables."""

    def __init__(self, site: Site) -> None:
        self.site = site
        config = site.config
        self.config, self.policy, self.vitals = config, config.policy, site.vitals
        self.steps = len(config.rollout.steps)
        self.spec = reward_spec(config.reward_spec)
        # A file is read by the thread that asks; a server's work is seen by how long it takes.
        spent = time.perf_counter if isinstance(config.state_database, str) else time.thread_time
        self._status = CountedOnce(lambda view: describe(view, self.policy), spent)
        self._curves = CountedOnce(lambda view: read_curves(view, self.policy), spent)
        self._sums = CountedOnce(lambda view: read_sums(view, self.policy, config.spools), spent)
        self._signals_read = CountedOnce(
            lambda view: read_signals(view, self.policy, self.spec), spent
        )

    @property
    def counted(self) -> list[CountedOnce[Any]]:
        """What takes long where there are many answers, in the order in which people ask for it."""
        return [self._status, self._curves, self._sums, self._signals_read]

    def stored(
        self, view: Transaction, now: float, patience: float | None = None
    ) -> dict[str, Any]:
        """Return what the tables say: counts of all answers, and when they were made; gateways of now."""
        found, counted_at = self._status.ask(view, now, patience)
        # Which gateways act on the flags is asked while something is taken back: it is of now.
        reach = describe_reach(read_reach(view, self.policy, self.config.flags_path, now), now)
        return {**found, "flags": reach, "counted_at": counted_at}

    def routes(self) -> list[web.RouteDef]:
        """Return the pages."""
        shows = self.site.shows
        return [
            web.get("/", shows("overview.html", "/", self._overview)),
            web.get("/rollouts", shows("rollouts.html", "/rollouts", self._list)),
            web.get("/rollouts/{version}", shows("readout.html", "/rollouts", self._readout)),
            web.get("/learner", shows("learner.html", "/learner", self._learner)),
            web.get("/ledger", shows("ledger.html", "/ledger", self._ledger)),
            web.get("/batches/{batch}", shows("batch.html", "/ledger", self._batch)),
            web.get("/answers", shows("answers.html", "/ledger", self._answers)),
            *_of_one("/answers", "answer", shows("answer.html", "/ledger", self._answer)),
            web.get("/records/{topic}/{index}", shows("records.html", "/ledger", self._records)),
            web.get("/records/{topic}/{index}/{at}", shows("letter.html", "/ledger", self._letter)),
            *_of_one("/gateways", "gateway", shows("gateway.html", "/", self._gateway)),
            web.get("/signals", shows("signals.html", "/signals", self._signals)),
            web.get("/readings", shows("readings.html", "/readings", self._readings)),
            web.get("/tools", shows("tools.html", "/tools", self._tools)),
            web.get("/triage", shows("triage.html", "/triage", self._triage)),
            web.get("/problems", self.site.tells("problems.html", "/problems", self._problems)),
            web.get("/runbook", self._runbook),
            *self.site.files(),
        ]

    def elsewhere(self) -> web.RouteDef:
        """Return the route of what is no page, which is asked last: it says so within the site."""
        return web.get("/{path:(?s:.*)}", self.site.tells("error.html", "", self._nowhere))

    def _nowhere(self, request: web.Request) -> Mapping[str, Any]:
        raise NotHere(f"{request.path[:80]}: there is no such page.")

    def _overview(self, view: Transaction, _: web.Request) -> dict[str, Any]:
        policy, now = self.policy, time.time()
        current = rollouts_table.current(view, policy)
        champion = champions_table.find_champion(view, policy)
        serves = "" if champion is None else champion.version
        stored = self.stored(view, now, PATIENCE_SECONDS)
        curves, drawn_at = self._curves.ask(view, now, PATIENCE_SECONDS)
        return {
            **overview(stored, dict(self.vitals.live), dict(self.vitals.problems)),
            "counted_at": stored["counted_at"],
            "rows": read_list(view, policy, limit=SHOWN, steps=self.steps),
            "under_way": None
            if current is None
            else read_readout(view, policy, current.version, now, steps=self.steps),
            "held": rollouts_table.hold(view, policy),
            "serves": serves,
            "let_out": bool(serves) and rollouts_table.find(view, policy, serves) is not None,
            "holdout": read_holdout(view, policy, self.config.rollout.anchor_share),
            "experiments": read_experiments(view, policy),
            "drift": read_drift(view, policy),
            "silent": read_silent(view, policy, self.config.flags_path, now),
            "triaged": newest_week(self.config.state_path),
            "curves": curves,
            "drawn_at": drawn_at,
            "reward_chart": line_chart("reward", "Reward by version over time", curves.reward),
            "accept_chart": line_chart(
                "accepted", "Accept rate by version over time", curves.accepted
            ),
        }

    def _list(self, view: Transaction, _: web.Request) -> dict[str, Any]:
        return {
            "rows": read_list(view, self.policy, limit=LISTED, steps=self.steps),
            "held": rollouts_table.hold(view, self.policy),
        }

    def _readout(self, view: Transaction, request: web.Request) -> dict[str, Any]:
        version = known_name(request.match_info["version"])
        found = read_readout(view, self.policy, version, time.time(), steps=self.steps)
        if found is None:
            raise NotHere(f"{version} never had a rollout here.")
        return {**found, "held": rollouts_table.hold(view, self.policy)}

    def _learner(self, view: Transaction, _: web.Request) -> dict[str, Any]:
        return {**read_health(view, self.policy), "live": dict(self.vitals.live)}

    def _ledger(self, view: Transaction, request: web.Request) -> dict[str, Any]:
        asked = known_values(request.query, ("before",))
        sums, counted_at = self._sums.ask(view, time.time(), PATIENCE_SECONDS)
        return {
            **read_ledger(view, self.policy, sums),
            **read_batches(view, self.policy, asked.get("before", "")),
            "counted_at": counted_at,
        }

    def _batch(self, view: Transaction, request: web.Request) -> dict[str, Any]:
        asked = known_values(request.query, ("after",))
        return read_batch(view, self.policy, request.match_info["batch"], asked)

    def _answers(self, view: Transaction, request: web.Request) -> dict[str, Any]:
        return {"answers": read_answers(view, self.policy, request.query)}

    def _answer(self, view: Transaction, request: web.Request) -> dict[str, Any]:
        return read_answer(view, self.policy, _name(request), self.spec)

    def _records(self, view: Transaction, request: web.Request) -> dict[str, Any]:
        return read_partition(view, self.policy, _partition(request), request.query)

    def _letter(self, view: Transaction, request: web.Request) -> dict[str, Any]:
        offset = whole_number("offset", request.match_info["at"])
        found = read_letter(view, self.policy, _partition(request), offset)
        stream = self.config.stream
        return {**found, "dead_letters": stream.dead_letters, "kafka": stream.kind == "kafka"}

    def _gateway(self, view: Transaction, request: web.Request) -> dict[str, Any]:
        flags = self.config.flags_path
        return read_gateway(view, self.policy, flags, _name(request), time.time())

    def _signals(self, view: Transaction, _: web.Request) -> dict[str, Any]:
        found, counted_at = self._signals_read.ask(view, time.time(), PATIENCE_SECONDS)
        return {**found, "counted_at": counted_at, "live": dict(self.vitals.live)}

    def _readings(self, view: Transaction, _: web.Request) -> dict[str, Any]:
        config = self.config
        return read_readings(view, self.policy, config.satisfaction, config.state_path / "readers")

    def _tools(self, view: Transaction, _: web.Request) -> dict[str, Any]:
        return read_tools(view, self.policy)

    def _triage(self, view: Transaction, request: web.Request) -> dict[str, Any]:
        asked = known_values(request.query, ("since",))
        return read_triage(view, self.policy, self.config.triage, self.config.state_path, asked)

    def _problems(self, _: web.Request) -> Mapping[str, Any]:
        try:
            with self.site.store.reading() as view:
                seen = self._evidence(view)
        except (ConnectionError, TimeoutError):
            seen = {}  # The database is one of the problems.
        return read_problems(self.vitals, seen)

    async def _runbook(self, request: web.Request) -> web.Response:
        """Show the runbook to everybody: an alert's link has to lead there at night, and it says nothing of us."""
        told = self.site.access
        caller = None if told.open and not is_asked_here(request) else told.caller(request)
        return self.site.page("runbook.html", caller, sections=sections())

    def _evidence(self, view: Transaction) -> dict[str, list[str]]:
        """Return by problem the newest answers that show it."""
        spikes = [one for one in calls_table.anomalies(view, self.policy) if one.ended is None]
        alarms = alarms_table.alarms(view, self.policy)[:1]
        return {
            "tools": [name for one in spikes for name in one.evidence][:EVIDENCE],
            "drift": [name for one in alarms for name in one.evidence][:EVIDENCE],
        }


def _of_one(folder: str, kind: str, handler: Handler) -> list[web.RouteDef]:
    """Return the routes of pages of one thing each: by its name in the path, or as the query's `id`."""
    return [web.get(f"{folder}/{{{kind}:(?s:.+)}}", handler), web.get(f"{folder}/", handler)]


def _name(request: web.Request) -> str:
    """Return whose page is asked for; raises NotHere for what nothing is called."""
    name = next(iter(request.match_info.values()), "") or request.query.get("id", "")
    if not name:
        raise NotHere(f"{request.path}: there is no such page.")
    return known_name(name)


def _partition(request: web.Request) -> Partition:
    """Return the partition that a page is of; raises NotHere and AskedWrongly."""
    index = whole_number("partition", request.match_info["index"])
    return Partition(topic=known_name(request.match_info["topic"]), index=index)

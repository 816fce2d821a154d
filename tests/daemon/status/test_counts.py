"""What the pages count over all answers is what plain counting of the rows gives."""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from bench_state import SEED, long_state

from rlwd.daemon.charts.chart import COLOURS
from rlwd.daemon.charts.curves import BUCKETS, FEWEST, read_curves
from rlwd.daemon.charts.words import short_version
from rlwd.daemon.status.snapshot import describe
from rlwd.learner.candidate import sequence_of
from rlwd.learner.ledger.batches_table import trained_by_lane
from rlwd.learner.ledger.weighed import weights_of
from rlwd.streams.answers.answer_tallies import count_fates
from rlwd.streams.open import open_store
from rlwd.streams.state.transaction import Transaction


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Transaction]:
    """A state of 18 versions, each with its batch, and of feedback that came after a batch was sealed."""
    path = long_state(tmp_path_factory.mktemp("long") / "rlwd.db", 3 * SEED)
    with closing(open_store(path)) as store:
        with store.transaction() as tx:
            # Another policy's, a mirrored one, one without a version, and one that nobody met.
            tx.execute("UPDATE episodes SET policy = 'other' WHERE rowid % 211 = 0")
            tx.execute("UPDATE episodes SET fate = 'excluded:shadow' WHERE rowid % 97 = 9")
            tx.execute("UPDATE episodes SET version = NULL, received = NULL WHERE rowid % 301 = 8")
            tx.execute("UPDATE episodes SET version = ? WHERE version = ?", (V3, V4))
            tx.execute("UPDATE feedback SET origin = 'tools' WHERE rowid % 13 = 0")
            tx.execute("UPDATE feedback SET dead = 1 WHERE rowid % 17 = 0")
        with store.reading() as view:
            yield view


V3, V4 = "policy@v000003-00000000", "policy@v000004-00000000"


def test_status_counts_what_is_there(view: Transaction) -> None:
    """Fates, lanes, late feedback and generations, each as a query of its own would count it."""
    told = describe(view, "policy")
    assert told["fates"] == count_fates(view, "policy")
    assert told["trained_by_lane"] == trained_by_lane(view, "policy")
    known, late = view.execute(
        "SELECT COUNT(received), SUM(late) FROM episodes WHERE policy = 'policy'"
    ).fetchone()
    assert (told["generations"], told["late_feedback"], told["ready"]) == (known, late, 0)
    newest = [one["batch"] for one in told["weights"]["newest"]]
    assert newest == [18, 17, 16, 15, 14]
    for one in told["weights"]["newest"]:
        assert one["weight"] >= weights_of(view, "policy", one["batch"])["weight"] > 0.0


def test_served_times_are_those_of_each_feedback(view: Transaction) -> None:
    """As if each trained feedback were looked up with its answer, batch and checkpoint, one by one."""
    rows = view.execute(
        "SELECT f.received, b.sealed_at, c.created_at, c.sequence FROM episodes e, feedback f,"
        " batches b, checkpoints c WHERE e.policy = 'policy' AND e.fate = 'trained'"
        " AND f.policy = e.policy AND f.generation_id = e.generation_id AND f.origin = ''"
        " AND b.policy = e.policy AND b.batch_id = e.batch_id AND f.received <= b.sealed_at"
        " AND c.policy = e.policy AND c.batch_id = e.batch_id AND c.version = e.trained_version"
    ).fetchall()
    first: dict[int, float] = {
        sequence_of(version): at
        for version, at in view.execute(
            "SELECT version, MIN(received) FROM episodes WHERE policy = 'policy'"
            " AND version IS NOT NULL AND fate <> 'excluded:shadow' GROUP BY version"
        ).fetchall()
    }
    met = [(row, first[row[3]]) for row in rows if row[3] in first]
    totals = sorted(at - row[0] for row, at in met)
    on = {s: min(at for t, at in first.items() if t >= s) for s in range(19) if s <= max(first)}
    reached = sorted(on[row[3]] - row[0] for row in rows if row[3] in on)
    told = describe(view, "policy")["event_to_served_s"]
    assert 0 < len(met) < len(rows)
    assert (told["count"], told["unmet"]) == (len(met), len(rows) - len(met))
    assert told["p50"] == totals[int(0.5 * len(totals))]
    assert told["p95"] == totals[int(0.95 * len(totals))]
    assert told["p50_any"] == reached[int(0.5 * len(reached))]
    means = {
        "waiting_for_batch": [row[1] - row[0] for row, _ in met],
        "learning": [row[2] - row[1] for row, _ in met],
        "gate_and_first_answer": [at - row[2] for row, at in met],
    }
    assert told["parts"] == {
        name: pytest.approx(math.fsum(each) / len(met), rel=1e-6) for name, each in means.items()
    }


def test_curves_are_of_each_answer_and_decision(view: Transaction) -> None:
    """Points of both charts, from the rows looked at one by one."""
    answers = view.execute(
        "SELECT generation_id, version, received, reward, variant FROM episodes"
        " WHERE policy = 'policy' AND received IS NOT NULL"
    ).fetchall()
    began, ended = min(one[2] for one in answers), max(one[2] for one in answers)
    width = (ended - began) / BUCKETS
    place = {
        one[0]: (one[1], min(math.floor((one[2] - began) / width), BUCKETS - 1)) for one in answers
    }
    said = [
        (place[name], float(kind == "accepted"))
        for name, kind in view.execute(
            "SELECT generation_id, kind FROM feedback WHERE policy = 'policy' AND dead = 0"
            " AND kind IN ('accepted', 'rejected')"
        ).fetchall()
        if name in place
    ]
    rewards = [(place[one[0]], one[3]) for one in answers if one[3] is not None]
    curves = read_curves(view, "policy")
    shown = {line.name for line in curves.reward}
    most = Counter(version for (version, _), _ in rewards)
    left_out = [count for version, count in most.items() if short_version(version) not in shown]
    assert len(shown) == COLOURS
    assert max(left_out) <= min(most[v] for v in most if short_version(v) in shown)
    for lines, values in ((curves.reward, rewards), (curves.accepted, said)):
        assert {line.name for line in lines} == shown
        for line in lines:
            assert [value for _, value in line.points] == pytest.approx(_points(values, line.name))


def _points(values: list[tuple[tuple[str, int], float]], name: str) -> list[Any]:
    of: dict[int, list[float]] = {}
    for (version, at), value in values:
        if version is not None and short_version(version) == name:
            of.setdefault(at, []).append(value)
    return [sum(of[at]) / len(of[at]) for at in sorted(of) if len(of[at]) >= FEWEST]

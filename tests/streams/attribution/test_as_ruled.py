"""Answers as another spec attributes feedback are as that spec's own state has them."""

from itertools import permutations
from pathlib import Path

import msgspec
from chain_story import story
from chains_by_hand import RULED, SPENDING, SPREADING, with_spec
from ledger_by_hand import FEEDBACK, Ledger, open_ledger

from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import Spec
from rlwd.streams.attribution.as_ruled import as_ruled
from rlwd.streams.events.episode import Episode
from rlwd.streams.events.event import FeedbackEvent, decode_event
from rlwd.streams.join.episodes_table import load_episodes

PLAIN = msgspec.structs.replace(RULED, name="plain", attribution={"resolved": "chain"})
SPECS = (PLAIN, RULED, SPREADING, SPENDING)


def joined(path: Path, spec: Spec) -> Ledger:
    ledger = with_spec(open_ledger(path), spec)
    said = [one for one in story() if isinstance(decode_event(one), FeedbackEvent)]
    ledger.take(*(one for one in story() if one not in said))
    ledger.take(*said, partition=FEEDBACK)
    return ledger


def answers(ledger: Ledger, spec: Spec | None = None) -> list[Episode]:
    """Return all answers, as the state has them or as another spec would."""
    with ledger.store.reading() as view:
        rows = view.execute("SELECT generation_id FROM episodes ORDER BY generation_id").fetchall()
        found = load_episodes(view, "policy", [name for (name,) in rows])
        return found if spec is None else as_ruled(view, "policy", found, Scorer(spec))


def test_each_specs_answers_come_out_of_any_others_state(tmp_path: Path) -> None:
    """All feedback, its weights and its order, for every pair of specs."""
    states = {spec.name: joined(tmp_path / f"{spec.name}.db", spec) for spec in SPECS}
    for one, other in permutations(SPECS, 2):
        assert answers(states[one.name], other) == answers(states[other.name]), (one, other)
    for spec in SPECS:
        assert answers(states[spec.name], spec) == answers(states[spec.name])
        states[spec.name].store.close()

"""Sessions against a simple model: any tree of turns, in any order, gives the same links and prompts.

The model knows nothing of tables: it has the tree that was drawn, and says where each turn must lead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_by_hand import Ledger, generation, open_ledger
from places_by_hand import Place, new_schema
from talks_by_hand import held, links, person, record_of, signals

from rlwd.streams.events.input_message import answer_digest
from rlwd.streams.join import retention

BEGINNING = tuple(range(50, 70))
"""All begin so: long enough that what two share is not kept twice."""


@dataclass(frozen=True)
class Node:
    """One turn of the tree."""

    name: str
    parent: int | None
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    depth: int
    record: bytes


@st.composite
def trees(draw: st.DrawFn) -> list[Node]:
    """Turns that each go on from an earlier one, or begin anew; tokens are few, so that they collide."""
    nodes = list[Node]()
    for number in range(draw(st.integers(1, 7))):
        parent = draw(st.none() | st.integers(0, number - 1)) if number else None
        grow(nodes, parent, draw(st.lists(st.integers(0, 2), min_size=1, max_size=20)))
    return nodes


def grow(nodes: list[Node], parent: int | None, own: Sequence[int]) -> None:
    """Add one turn that goes on from a parent with some tokens."""
    number = len(nodes)
    before = BEGINNING if parent is None else nodes[parent].prompt + nodes[parent].answer
    # A number of its own: two turns that read the same cannot be told apart, and need not be.
    prompt, answer = (*before, *own, 1000 + number), (2000 + number,)
    depth = 0 if parent is None else nodes[parent].depth + 1
    name = f"s.g{number}"
    record = generation(
        name,
        float(number),
        session_found="named",
        redacted=(),
        prompt_token_ids=prompt,
        completion_token_ids=answer,
        logprobs=(-0.5,),
        text=name,
        input=(person(f"to {number}"),),
        earlier_answers=depth,
        last_answer="" if parent is None else answer_digest(nodes[parent].name),
    )
    nodes.append(Node(name, parent, prompt, answer, depth, record))


def nearest(nodes: Sequence[Node], node: Node, came: set[str]) -> Node | None:
    """The nearest turn before it that came."""
    at = node.parent
    while at is not None:
        if nodes[at].name in came:
            return nodes[at]
        at = nodes[at].parent
    return None


def check(place: Place, nodes: list[Node], data: st.DataObject) -> None:
    came = data.draw(st.sets(st.sampled_from(nodes), min_size=1), label="came")
    delivery = data.draw(st.permutations(sorted(came, key=lambda node: node.name)), label="order")
    repeats = data.draw(st.lists(st.sampled_from(delivery), max_size=3))
    ledger = open_ledger(place)
    try:
        todo = [*delivery, *repeats]
        while todo:
            size = data.draw(st.integers(1, len(todo)), label="poll")
            ledger.take(*[node.record for node in todo[:size]])
            todo = todo[size:]
        compare(ledger, nodes, {node.name for node in came})
        before = data.draw(st.integers(0, 8), label="expired before")
        with ledger.store.transaction() as tx:
            retention.expire(tx, "policy", float(before))
        for node in came:
            kept = float(node.name[3:]) >= before
            assert held(ledger, node.name) == (record_of(node.record) if kept else None)
    finally:
        ledger.store.close()


def compare(ledger: Ledger, nodes: list[Node], came: set[str]) -> None:
    found, told = links(ledger), signals(ledger)
    expected_signals = []
    for node in nodes:
        if node.name not in came:
            continue
        parent = nearest(nodes, node, came)
        direct = parent is not None and node.parent is not None and nodes[node.parent] == parent
        history = "foreign" if any_missing(nodes, node, came) else ""
        link = (None, "") if parent is None else (parent.name, "tokens")
        assert found[node.name] == (*link, history)
        assert held(ledger, node.name) == record_of(node.record)
        if parent is not None and direct:
            expected_signals.append((parent.name, "followed_up", node.name))
    assert told == sorted(expected_signals)


def any_missing(nodes: list[Node], node: Node, came: set[str]) -> bool:
    """Whether an answer in its history is of a turn that never came."""
    at = node.parent
    while at is not None:
        if nodes[at].name not in came:
            return True
        at = nodes[at].parent
    return False


@settings(max_examples=150, deadline=None)
@given(nodes=trees(), data=st.data())
def test_order_and_gaps_do_not_matter(nodes: list[Node], data: st.DataObject) -> None:
    """Whatever the delivery, the state equals the model, and every prompt comes back bit for bit."""
    with TemporaryDirectory() as folder:
        check(Path(folder) / "rlwd.db", nodes, data)


def test_a_gap_stays_one_where_another_turn_is_moved(tmp_path: Path) -> None:
    """A turn whose parent comes late changes nothing about who answered before the others of its session."""
    nodes = list[Node]()
    for parent in (None, 0, 1, None, 3):
        grow(nodes, parent, [0])
    ledger = open_ledger(tmp_path / "rlwd.db")
    ledger.take(nodes[0].record)
    ledger.take(nodes[2].record, nodes[4].record)
    ledger.take(nodes[3].record)
    compare(ledger, nodes, {f"s.g{number}" for number in (0, 2, 3, 4)})


@settings(max_examples=25, deadline=None)
@given(nodes=trees(), data=st.data())
def test_nor_do_they_on_a_server(postgres_url: str, nodes: list[Node], data: st.DataObject) -> None:
    """The same on PostgreSQL."""
    check(new_schema(postgres_url), nodes, data)

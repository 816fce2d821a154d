"""Lineage: which checkpoint came from which, and how old a version is along it."""

import pytest
from manifests_by_hand import manifest, rolled_back, skipping, version_of

from rlwd.learner.ledger.lineage import Lineage


@pytest.fixture
def returned() -> Lineage:
    """The docstring's: 0 <- 1 <- 2, then a rollback to 1 as 3, then 4."""
    return Lineage(
        [
            manifest(0, None),
            manifest(1, 0),
            manifest(2, 1),
            rolled_back(3, 1, reverted=(2,)),
            manifest(4, 3),
        ]
    )


def test_the_docstrings_example(returned: Lineage) -> None:
    """With head 4 the answers of version 1 are 1 old, those of version 2 are 2 old."""
    ages = {at: returned.age(version_of(at), head=4) for at in (0, 1, 2, 4)}
    assert ages == {0: 2, 1: 1, 2: 2, 4: 0}


def test_a_rollback_makes_nobody_older(returned: Lineage) -> None:
    """After the return what was served before is as old as it had been."""
    assert returned.updates(3) == [1, 0]
    assert [returned.age(version_of(at), head=3) for at in (0, 1, 2)] == [1, 0, 1]


def test_a_skipped_batch_makes_nobody_older() -> None:
    """A checkpoint that only gave a batch up is no update."""
    line = Lineage([manifest(0, None), manifest(1, 0), skipping(2, 1), manifest(3, 2)])
    assert line.updates(3) == [3, 1, 0]
    assert [line.age(version_of(at), head=2) for at in (0, 1)] == [1, 0]
    assert [line.age(version_of(at), head=3) for at in (0, 1, 3)] == [2, 1, 0]


def test_a_skip_after_a_rollback_still_leads_to_where_it_went(returned: Lineage) -> None:
    """Rollback, then a batch given up, then another: the chain goes through both."""
    line = Lineage(
        [*returned.by_sequence.values(), skipping(5, 4, version=version_of(4)), manifest(6, 5)]
    )
    assert line.updates(6) == [6, 4, 1, 0]
    assert line.age(version_of(2), head=6) == 3


@pytest.mark.parametrize(
    "version",
    [
        "",
        "policy@v000009-00000000",
        "gpt-4",
        "policy@vx-0",
        f"{version_of(1).partition('-')[0]}-beef1234",
    ],
)
def test_what_is_not_ours_has_no_age(returned: Lineage, version: str) -> None:
    """A version without a checkpoint, with no such name, or of another life is of unknown age."""
    assert returned.age(version, head=4) is None


def test_lines_that_never_meet_have_no_distance() -> None:
    """Where the checkpoints between were lost, nothing is guessed."""
    line = Lineage([manifest(0, None), manifest(1, 0), manifest(7, 6)])
    assert line.age(version_of(1), head=7) is None


def test_an_empty_folder_has_no_line() -> None:
    """Before v0 there is neither chain nor age."""
    line = Lineage(())
    assert (line.chain(0), line.updates(None), line.age(version_of(0), head=0)) == ([], [], None)

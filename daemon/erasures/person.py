"""Person: everything of somebody who asked to be forgotten, in tables, batches, benchmarks and folders.

Weights are not unlearned: the report names every version that was trained on something of theirs, and
which of those what is served today descends from, so that somebody can decide.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from ...learner.benchmark_people import forget_person
from ...learner.checkpoint.folder import read_manifests
from ...learner.ledger.batches_table import batch_path, forget_batches, still_sealed
from ...learner.ledger.lineage import Lineage
from ...ops.benchmark.benchmark_file import FOLDER
from ...ops.benchmark.keeping import keep_benchmarks
from ...ops.rollout import champions_table, holdout_table
from ...ops.tracking.trace_record import trace_id_of
from ...streams.join.erasure import ErasureCounts, erase, erased_users
from ...streams.state.store import Scrubs, Store
from ..config import Config

log = structlog.get_logger()

TABLES = (
    *("contents", "feedback", "episodes", "dead_letters", "turns", "made_calls", "traced"),
    *("batches", "holdout_users", "benchmark_people"),
)
"""Where something of a person stands, as it was or as it came about; `erased` keeps their hash."""


class ErasureReport(msgspec.Struct, frozen=True, kw_only=True):
    """What is reported of an erasure."""

    generations: int
    """Answers to this person; what was said in them is gone."""
    others: int
    """Answers to others in the same conversations, whose prompts held it; they are gone, too."""
    learned: tuple[str, ...]
    """Versions that were trained on some of them."""
    served_descends_from: tuple[str, ...]
    """Of those the ones in the line of what serves now."""
    batches_forgotten: tuple[int, ...]
    """Batches whose tokens are gone; lost to a damaged disk, they cannot be applied again."""
    batches_waiting: tuple[int, ...]
    """Batches that are being applied: erase again once they are done."""
    bytes_gone: bool
    """Whether the files of the state database's tables hold none of it any more. False: somebody read
    it all the while, erase again; or a server has it, and was not asked to write them anew."""
    mlflow_traces: tuple[str, ...] = ()
    """Traces that MLflow may show of them; the daemon deletes them there, as soon as both run."""
    benchmarks: tuple[str, ...] = ()
    """Benchmarks that were written anew without them; the old files are written over and gone."""


def erase_person(
    config: Config, store: Store, user_hash: str, now: float, *, rewrite: bool = False
) -> ErasureReport:
    """Forget a person in the state database, the batch files and the data folder.

    Put them on the list before (`erasure_list.py`): a state that is put back forgets them by it. With
    `rewrite` a server writes the files of its tables anew.
    """
    with store.transaction() as tx:
        found = erase(tx, config.policy, user_hash, now, _folders(config))
        holdout_table.forget_erased(
            tx, config.policy, {user_hash: erased_users(tx, config.policy)[user_hash]}
        )
        forget_person(tx, config.policy, user_hash)
        forgotten = forget_batches(tx, config.policy, found.batches)
        waiting = still_sealed(tx, config.policy, found.batches)
        champion = champions_table.find_champion(tx, config.policy)
    # Not only what was forgotten now: a crash may have come between table and file before.
    for batch_id in set(found.batches) - set(waiting):
        batch_path(config.state_path / "batches", batch_id).unlink(missing_ok=True)
    # Again where a crash came between: what the state holds no more is in no benchmark.
    benchmarks = keep_benchmarks(store, config.policy, config.state_path / FOLDER, now)
    experiment = config.mlflow.experiment_of(config.policy)
    return ErasureReport(
        generations=found.generations,
        others=found.others,
        learned=found.versions,
        served_descends_from=_in_line(
            config, found, None if champion is None else champion.sequence
        ),
        batches_forgotten=tuple(forgotten),
        batches_waiting=tuple(waiting),
        bytes_gone=scrubbed(store, TABLES, rewrite=rewrite),
        mlflow_traces=tuple(trace_id_of(experiment, name) for name in found.traced),
        benchmarks=tuple(benchmarks),
    )


def scrubbed(store: Store, tables: Sequence[str], *, rewrite: bool) -> bool:
    """Get deleted rows of these tables out of the files; return whether they are, also where a server is away."""
    assert isinstance(store, Scrubs), "a store of a whole state database"
    try:
        return store.scrub(tables, rewrite=rewrite)
    except ConnectionError as problem:
        # What is forgotten stays so: the rows are deleted, and erasing again scrubs again.
        log.warning("not_scrubbed", problem=str(problem))
        return False


def _folders(config: Config) -> list[Path]:
    """Return where events lie that were too large for the log, as far as this machine has them."""
    found = [spool / "oversize" for spool in config.spools]
    return found if config.data_path is None else [config.data_path, *found]


def _in_line(config: Config, found: ErasureCounts, champion: int | None) -> tuple[str, ...]:
    lineage = Lineage(read_manifests(config.state_path / "checkpoints"))
    line = {each.version for each in lineage.chain(champion)}
    return tuple(version for version in found.versions if version in line)

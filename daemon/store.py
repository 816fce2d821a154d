"""Store: opens the state database of a configuration with the tables of every folder."""

from pathlib import Path

from ..learner.ledger import checkpoints_table, seal
from ..ops.rollout import candidates_table
from ..streams.open import open_store
from ..streams.state import lease
from ..streams.state.store import Store
from .config import Config


def state_store(config: Config) -> Store:
    """Open the state database, making and migrating it where need be."""
    return open_store(
        config.state_database,
        {
            "daemon": (*checkpoints_table.MIGRATIONS, *lease.MIGRATIONS, *seal.MIGRATIONS),
            "ops": candidates_table.MIGRATIONS,
        },
    )


def existing_store(config: Config) -> Store:
    """Open the state database of a daemon that has run; raises ValueError where none ever did."""
    place = config.state_database
    if isinstance(place, Path) and not place.exists():
        raise ValueError(f"{place}: no state database; has `rlwd run` ever started here?")
    return state_store(config)

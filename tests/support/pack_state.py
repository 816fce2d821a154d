"""Packs a state folder and its topic as the fixture of the version that wrote them.

    python -m pack_state DEMO_FOLDER tests/upgrades/VERSION

DEMO_FOLDER is what a run of the demo left behind, made with the code of that version. Beside the
archive stands what that version's own code made of it, which later versions are held against.
"""

import json
import sys
import tarfile
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rlwd.daemon.config import Config, load_config
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import reward_spec
from rlwd.streams.join.ingest import Ingest, read_to_end
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.log.embedded_log import EmbeddedSource
from rlwd.streams.open import open_store
from rlwd.streams.state.store import Store

AFTER_ALL_HORIZONS = 4e9
"""Epoch seconds: by then nothing waits any more."""
LEFT_OUT = ("mlflow", "policy", "spool")


def read_again(config: Config, folder: Path) -> dict[str, Any]:
    """Read the topic into a fresh state; return each generation's stage, fate and reward."""
    store = open_store(folder / "again.db")
    spec = reward_spec(config.reward_spec)
    joiner = Joiner(config.policy, Scorer(spec), spec.decision_seconds)
    topics = (config.stream.generations, config.stream.feedback)
    ingest = Ingest(store, joiner, partial(EmbeddedSource, config.log_path, topics))
    read_to_end(ingest)
    ingest.close_horizons(AFTER_ALL_HORIZONS)
    ingest.source.close()
    found = outcomes(store)
    store.close()
    return found


def outcomes(store: Store) -> dict[str, Any]:
    """Return each generation's stage, fate and reward, and how many records were refused."""
    with store.reading() as view:
        rows = view.execute(
            "SELECT generation_id, stage, fate, reward FROM episodes WHERE received IS NOT NULL"
        ).fetchall()
        (refused,) = view.execute("SELECT COUNT(*) FROM dead_letters").fetchone()
    return {"refused": refused, "episodes": {name: rest for name, *rest in sorted(rows)}}


def main() -> None:
    """Pack a folder."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        again = read_again(load_config(source / "rlwd.toml"), Path(folder))
    (target / "expected.json").write_text(json.dumps(again, indent=0, sort_keys=True))
    with tarfile.open(target / "state.tar.xz", "w:xz", preset=9) as archive:
        for path in sorted((source / "state").rglob("*")):
            within = path.relative_to(source)
            if path.is_file() and not set(within.parts) & set(LEFT_OUT):
                archive.add(path, str(within))
        for name in ("rlwd.toml", "rewards.toml"):
            archive.add(source / name, name)


if __name__ == "__main__":
    main()

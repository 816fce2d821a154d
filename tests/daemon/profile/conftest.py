"""Weeks of three kinds of work, taken in by the command line; and the command line on them."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import work_weeks as weeks
from reward_shop import rlwd_in


@pytest.fixture(scope="session")
def week_folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A folder for each kind of work: the recording, the config, and the state that ingest left."""
    kinds = {
        "coding": (weeks.coding_week(), weeks.CODING, ""),
        "support": (weeks.support_week(), weeks.SUPPORT, weeks.SUPPORT_SPEC),
        "legal": (weeks.legal_week(), weeks.LEGAL, weeks.LEGAL_SPEC),
    }
    folders = {}
    for name, (records, settings, spec) in kinds.items():
        folder = folders[name] = tmp_path_factory.mktemp(name)
        weeks.write_week(folder / "week.jsonl", records)
        (folder / "spec.toml").write_text(spec)
        named = "spec.toml" if spec else ""
        (folder / "rlwd.toml").write_text(weeks.config_text(settings, named))
        told = ["--spec", named] if named else []
        done = rlwd_in(folder, "replay", "week.jsonl", "--state", "state", *told)
        assert done.returncode == 0, done.stderr
    return folders

"""What runs in `make procedures` alone: it takes minutes."""

import os
import shutil

import pytest


def procedures_only(why: str) -> pytest.MarkDecorator:
    """Return the mark of a test that is run only where RLWD_PROCEDURES asks for it."""
    return pytest.mark.skipif(
        not os.environ.get("RLWD_PROCEDURES"), reason=f"{why}: make procedures"
    )


PROCEDURES = procedures_only("it starts a loop many times over")
NEEDS_CREATEDB = pytest.mark.skipif(
    shutil.which("createdb") is None, reason="no createdb: apt install postgresql-client"
)

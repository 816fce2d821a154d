"""Big libraries at a process's start."""

import subprocess
import sys

CODE = """
import gc, importlib.metadata, sys
asked = importlib.metadata.packages_distributions
from rlwd.streams.quick_imports import quick_imports
with quick_imports():
    import {module}
assert gc.isenabled() and gc.get_freeze_count() > 100_000
assert importlib.metadata.packages_distributions is asked
assert "transformers.generation.utils" in sys.modules
assert not [name for name in sys.modules if name.split(".")[0] in ("sklearn", "scipy")]
import sklearn
"""


def test_a_learner_and_an_engine_start_without_what_they_do_not_use() -> None:
    """No process imports scikit-learn for transformers' sake, and garbage is collected afterwards."""
    for module in ("rlwd.learner.process.worker", "rlwd.ops.embedded.decoder"):
        command = [sys.executable, "-c", CODE.format(module=module)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]

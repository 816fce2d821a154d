"""Big libraries at a process's start."""

import subprocess
import sys

CODE = """
import gc, importlib.metadata, importlib.util, sys
asked = importlib.metadata.packages_distributions
from rlwd.streams.quick_imports import quick_imports
for module in {modules!r}:
    with quick_imports():
        importlib.import_module(module)
    assert gc.isenabled() and gc.get_freeze_count() > 100_000
    assert importlib.metadata.packages_distributions is asked
    assert "transformers.generation.utils" in sys.modules
    assert not [name for name in sys.modules if name.split(".")[0] in ("sklearn", "scipy")]
assert importlib.util.find_spec("sklearn")
import scipy, transformers
assert not [one for one in sys.meta_path if type(one).__module__.startswith("rlwd")]
assert "LlamaConfig" not in dir(transformers.models)
assert transformers.LlamaConfig is transformers.models.llama.LlamaConfig
assert transformers.AutoConfig.for_model("qwen3").model_type == "qwen3"
"""


def test_a_learner_and_an_engine_start_without_what_they_do_not_use() -> None:
    """Neither imports scikit-learn for transformers' sake, nor lists all models' classes twice; all of it can be
    had afterwards, and garbage is collected."""
    modules = ("rlwd.learner.process.worker", "rlwd.ops.embedded.decoder")
    command = [sys.executable, "-c", CODE.format(modules=modules)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]

"""Quick imports: what big libraries cost a process at its start, made less."""

import gc
import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import contextmanager

UNUSED = ("sklearn", "scipy")
"""transformers imports them, and pandas with them, for ways to generate and losses that rlwd does not use."""


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import torch, transformers and peft in here: they come sooner.

    11.3 s became 8.4 (one core of an EPYC, scikit-learn installed): nothing that modules make is
    garbage, so none is looked for meanwhile or ever after, and what is `UNUSED` counts as not installed, for
    this process's transformers alone. A process that has imported one of those already keeps it. Nor
    are the files of all installed distributions read, which took 0.5 of the seconds: transformers finds
    those whose modules it asks about by their names.
    """
    absent = [name for name in UNUSED if name not in sys.modules]
    collects = gc.isenabled()
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: "not there", says importlib
    gc.disable()
    found, importlib.metadata.packages_distributions = (
        importlib.metadata.packages_distributions,
        dict,
    )
    try:
        yield
    finally:
        importlib.metadata.packages_distributions = found
        for name in absent:
            del sys.modules[name]
        gc.freeze()
        if collects:
            gc.enable()

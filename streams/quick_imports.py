"""Quick imports: what big libraries cost a process at its start, made less."""

import gc
import importlib.metadata
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

UNUSED = ("sklearn", "scipy")
"""transformers imports them, and pandas with them, for ways to generate and losses that rlwd does not use."""
UNLISTED = "transformers.models"
"""The package of all models, which lists the classes of each at its import."""


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import torch, transformers and peft in here: they come sooner.

    11.3 s became 8.4 (one core of an EPYC, scikit-learn installed): nothing that modules make is
    garbage, so none is looked for meanwhile or ever after, and what is `UNUSED` counts as not installed, for
    this process's transformers alone. A process that has imported one of those already keeps it. Nor
    are the files of all installed distributions read, which took 0.5 of the seconds: transformers finds
    those whose modules it asks about by their names. Nor are the 2,400 files of all models read a second
    time: `transformers` itself has listed their classes by then.
    """
    absent = [name for name in UNUSED if name not in sys.modules]
    collects, unlisted = gc.isenabled(), _Unlisted()
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: "not there", says importlib
    sys.meta_path.insert(0, unlisted)
    gc.disable()
    found, importlib.metadata.packages_distributions = (
        importlib.metadata.packages_distributions,
        dict,
    )
    try:
        yield
    finally:
        importlib.metadata.packages_distributions = found
        sys.meta_path.remove(unlisted)
        for name in absent:
            del sys.modules[name]
        gc.freeze()
        if collects:
            gc.enable()


class _Unlisted(MetaPathFinder, Loader):
    """Makes a package of the modules that stand in it, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != UNLISTED:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        if found is not None:
            found.loader = self
        return found

    def exec_module(self, module: ModuleType) -> None:
        """Run none of its code."""

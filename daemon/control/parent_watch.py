"""Parent watch: whether what a specialist began with was taken back by its parent since."""

import sqlite3
from collections.abc import Callable

import structlog

log = structlog.get_logger()


class ParentWatch:
    """Asks the parent's tables from time to time. The loop's thread owns it."""

    def __init__(self, ask: Callable[[], str]) -> None:
        """`ask` returns what is wrong, empty where nothing is."""
        self.ask = ask
        self.problem: str | None = None
        """What is wrong; what was known stays while the parent's tables cannot be read."""
        self._blind = False

    def look(self) -> None:
        """Ask again."""
        try:
            self.problem = self.ask() or None
        except (OSError, ValueError, sqlite3.Error) as problem:
            # On another host than the parent's there is nothing to ask, and nothing else needs it.
            if not self._blind:
                log.warning("parent_not_seen", problem=str(problem))
            self._blind = True
        else:
            self._blind = False

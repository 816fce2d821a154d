"""Fleet: every replica of the engine asked at once."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ..learner.candidate import Candidate
from .engine import Engine, Proof, prove

Result = TypeVar("Result")


class Fleet:
    """Replicas of one model; what is said to be loaded, every one of them has."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        assert engines, "a fleet has at least one engine"
        self.engines = tuple(engines)

    @property
    def url(self) -> str:
        """Where they listen, with commas between."""
        return ",".join(engine.url for engine in self.engines)

    def each(self, ask: Callable[[Engine], Result]) -> list[Result]:
        """Ask all at once and return their answers, in order.

        Raises the first refusal once all have answered; servers that are away raise one
        ConnectionError that names them.
        """
        with ThreadPoolExecutor(len(self.engines)) as pool:
            futures = [pool.submit(ask, engine) for engine in self.engines]
        away: list[str] = []
        for engine, future in zip(self.engines, futures, strict=True):
            error = future.exception()
            if isinstance(error, OSError):  # ConnectionError and TimeoutError are of this kind.
                away.append(f"{engine.url}: {error}")
            elif error is not None:
                raise error
        if away:
            raise ConnectionError("; ".join(away))
        return [future.result() for future in futures]

    def load(self, name: str, path: Path) -> None:
        """Load on every replica; those that can, have it even where another refuses."""
        self.each(lambda engine: engine.load(name, path))

    def unload(self, name: str) -> None:
        """Unload on every replica."""
        self.each(lambda engine: engine.unload(name))

    def loaded(self) -> dict[str, str]:
        """Return what every replica has under the same name from the same path."""
        first, *others = self.each(lambda engine: engine.loaded())
        return {
            name: path
            for name, path in first.items()
            if all(other.get(name) == path for other in others)
        }

    def prove(self, candidate: Candidate, tolerance: float) -> list[Proof]:
        """Return each replica's proof, in order."""
        return self.each(lambda engine: prove(engine, candidate, tolerance))

    def unhealthy(self) -> list[str]:
        """Return where the replicas listen that do not answer."""
        healthy = self.each(lambda engine: engine.healthy())
        return [one.url for one, well in zip(self.engines, healthy, strict=True) if not well]

    def healthy(self) -> bool:
        """True where every replica answers."""
        return not self.unhealthy()

    def close(self) -> None:
        """Let go of all connections."""
        for engine in self.engines:
            engine.close()

"""ServedVersions: which names are served by which version's server, and who has a slot."""

import time
from collections.abc import Callable
from pathlib import Path

import structlog

from ...learner.checkpoint.folder import is_base
from .version_folders import VersionFolders
from .version_server import ServerTerms, VersionServer

log = structlog.get_logger()

BASE = "base"
"""By this name v0 is asked for, too: it is the base model."""
WANTED_SECONDS = 30.0
"""For so long after somebody asked for a version its server is not stopped for another one's sake: it was
proven under a name of the moment, and is asked for under its own next."""


class RouterRefusal(ValueError):
    """A version that this router has not, or does not take; `status` is HTTP's."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


class ServedVersions:
    """The servers, each in a slot of its own. Belongs to the event loop.

    A server is stopped when another version needs its slot and no name is served by it any more: until
    then the version can be named again at once, as a rollback does.
    """

    def __init__(self, terms: ServerTerms, clock: Callable[[], float] = time.monotonic) -> None:
        self.terms, self.clock = terms, clock
        self.names: dict[str, VersionServer] = {}
        self.servers: dict[Path, VersionServer] = {}
        self._asked: dict[VersionServer, float] = {}
        self._ending: list[VersionServer] = []
        self._missed = set[Path]()
        """Versions whose server was up and is lost."""

    @property
    def folders(self) -> VersionFolders:
        """Where versions lie."""
        return self.terms.folders

    def load(self, name: str, link: Path) -> None:
        """Serve a version under a name, from the folder with its link of full weights.

        Raises RouterRefusal: 503 StillStarting until its server is up, 503 where all slots are taken, 400
        where the name is taken or the version cannot be served, 404 where there is none.
        """
        self._drop_lost()
        if (held := self.names.get(name)) is not None and self._link(held) != link:
            raise RouterRefusal(400, "InvalidUserInput", f"{name!r} has already been loaded")
        server = self.servers.get(link) or self._begin(link)
        self._asked[server] = self.clock()
        if server.lost:
            del self.servers[link]
            self._forget(server)
            raise RouterRefusal(400, "BadRequestError", f"{name}: {server.lost}")
        if not server.up:
            message = f"{server.version}: {server.doing}"
            raise RouterRefusal(503, "StillStarting", message)
        self._missed.discard(link)
        if held is not None:
            raise RouterRefusal(400, "InvalidUserInput", f"{name!r} has already been loaded")
        self.names[name] = server

    def unload(self, name: str) -> None:
        """Serve nothing under a name any more; raises RouterRefusal, 404, for an unknown one."""
        if self.names.pop(name, None) is None:
            raise RouterRefusal(404, "NotFoundError", f"{name!r} cannot be found")

    def find(self, name: str) -> VersionServer:
        """Return the server of a name; raises RouterRefusal, 404, where it has none that is up."""
        server = self._base() if name == BASE else self.names.get(name)
        if server is None:
            raise RouterRefusal(404, "NotFoundError", f"The model `{name}` does not exist.")
        if not server.up:
            said = f"The model `{name}` is away: {server.doing}."
            raise RouterRefusal(404, "NotFoundError", said)
        return server

    def _base(self) -> VersionServer | None:
        """Return the server of v0, which is the base model."""
        return next((one for one in self.servers.values() if is_base(one.manifest)), None)

    def listed(self) -> dict[str, str]:
        """Return the names that are served now, each with the folder of its link."""
        self._drop_lost()
        return {name: str(self._link(one)) for name, one in self.names.items() if one.up}

    def end(self) -> None:
        """Stop all servers, and return once none is left."""
        for server in self.servers.values():
            server.end()
        for server in (*self.servers.values(), *self._ending):
            server.join()

    def _begin(self, link: Path) -> VersionServer:
        try:
            manifest = self.folders.find(link)
        except ValueError as problem:
            raise RouterRefusal(404, "NotFoundError", f"No version found: {problem}") from problem
        self._ending = [one for one in self._ending if one.ends]
        taken = {one.slot for one in (*self.servers.values(), *self._ending)}
        free = sorted(set(range(self.terms.settings.slots)) - taken)
        if not free:
            raise self._no_slot(manifest.version)
        held = {one.version for one in self.servers.values()}
        self.folders.needed = frozenset({*held, manifest.version})
        log.info("version_asked_for", version=manifest.version, slot=free[0])
        self.servers[link] = server = VersionServer(
            manifest, free[0], self.terms, missed=link in self._missed
        )
        return server

    def _no_slot(self, version: str) -> RouterRefusal:
        """Make room by a server that nobody names, and say what is waited for."""
        named = set(self.names.values())
        idle = [
            (self._asked[one], link)
            for link, one in self.servers.items()
            if one not in named
            and not one.under_way
            and self.clock() - self._asked[one] > WANTED_SECONDS
        ]
        if idle and not self._ending:
            server = self.servers.pop(min(idle)[1])
            server.end()
            self._forget(server)
            log.info("version_stopped", version=server.version, slot=server.slot, for_=version)
        if self._ending or len(named) < len(self.servers):
            return RouterRefusal(503, "StillStarting", f"{version}: waits for a slot")
        have = ", ".join(sorted(one.version for one in self.servers.values()))
        return RouterRefusal(
            503,
            "ServiceUnavailableError",
            f"router.slots: all {len(self.servers)} are taken: {have}",
        )

    def _drop_lost(self) -> None:
        """Forget servers that were up and are lost: who wants their versions asks for them anew."""
        for link, server in list(self.servers.items()):
            if server.lost and server.restarts:
                del self.servers[link]
                self._missed.add(link)
                self._forget(server)

    def _forget(self, server: VersionServer) -> None:
        self._asked.pop(server, None)
        self._ending.append(server)
        self.names = {name: one for name, one in self.names.items() if one is not server}

    def _link(self, server: VersionServer) -> Path:
        return next(link for link, one in self.servers.items() if one is server)

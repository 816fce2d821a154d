"""KeepRig: a git repository whose history a test makes by git commands, and its watch, on a clock of its own."""

import os
import subprocess
from pathlib import Path

from rlwd.daemon.keep.keep_watch import KeepWatch, open_watch
from rlwd.daemon.keep.measure import kept_fraction
from rlwd.daemon.keep.written_edit import WrittenEdit

START = 1_790_000_000.0


class KeepRig:
    """One repository; time passes only where the test says so."""

    def __init__(self, folder: Path, horizons: tuple[float, ...] = (300.0, 3600.0)) -> None:
        self.top, self.now, self.horizons = folder / "repo", START, horizons
        self.top.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.write("README", "A repository.\n")
        self.commit("first")
        self.watch: KeepWatch = open_watch(self.top, horizons)

    def git(self, *arguments: str) -> str:
        """Run git as a person would, at the rig's time."""
        when = f"{int(self.now)} +0000"
        names = {"NAME": "Ada", "EMAIL": "ada@example.com", "DATE": when}
        env = {f"GIT_{who}_{k}": v for who in ("AUTHOR", "COMMITTER") for k, v in names.items()}
        env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_EDITOR": "true"}
        clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        done = subprocess.run(
            ["git", "-C", str(self.top), *arguments],
            capture_output=True,
            text=True,
            env=clean | env,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        self.age()
        return done.stdout.strip()

    def age(self) -> None:
        """Let every file look as if it was written a minute before the rig's time."""
        for path in self.top.rglob("*"):
            if ".git" not in path.parts and path.is_file():
                os.utime(path, (self.now - 60, self.now - 60))

    def write(self, path: str, text: str | bytes) -> None:
        """Write a file as a person or an agent would."""
        full = self.top / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.age()

    def commit(self, message: str, *flags: str) -> None:
        """Commit all there is."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message, *flags)

    def agent(
        self, generation: str, path: str, text: str, old: str | None = None, **more: object
    ) -> str:
        """Edit a file as an agent does, and tell of it; return what the watch said."""
        full = self.top / path
        before = full.read_text() if full.exists() else ""
        self.write(path, text if old is None else before.replace(old, text, 1))
        edit = WrittenEdit(
            generation_id=generation,
            file=path,
            text=text,
            old_text=old,
            **more,  # type: ignore[arg-type]
        )
        return self.watch.record([edit], self.top, self.now)[0]

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and have one look."""
        self.now += seconds
        self.watch.turn(self.now)

    def kept(self, generation: str) -> float | None:
        """Look, and return the share of a generation's lines that stands."""
        self.pass_time(15)
        return self.share(generation)

    def share(self, generation: str) -> float | None:
        """Return the share as of the last look."""
        with self.watch.store.reading() as view:
            return kept_fraction(view, generation)

    def reopen(self) -> None:
        """Die and start again."""
        poster = self.watch.poster
        self.watch.store.close()
        self.watch = open_watch(self.top, self.horizons, None if poster is None else poster.client)

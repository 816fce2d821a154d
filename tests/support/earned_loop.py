"""EarnedLoop: a real loop whose candidates are made to order, and which moves only when people came."""

from collections.abc import Callable
from pathlib import Path

from loop_processes import LoopProcesses
from readers import Readers, Reading
from spoken_versions import SpokenVersions

from rlwd.daemon.config import load_config
from rlwd.daemon.store import state_view
from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.rollout import rollouts_table
from rlwd.ops.servers.process import LOOPBACK
from rlwd.ops.servers.vllm_server import VllmServer
from rlwd.ops.stages.record import Rollout, Stage

ROLLOUT: dict[str, object] = {
    "steps": [0.2, 0.45],
    "anchor_share": 0.02,
    "step_users": 15,
    "step_seconds": 0.0,
    "min_users": 40,
    "margin": 0.5,
    "planned_users": 80,
    "gate_seconds": 120.0,
    "deadline_seconds": 600.0,
    "bake_share": 0.2,
    "linger_seconds": 2.0,
}
"""Crowds are small because the effects are large: two of three against nobody, or everybody."""
LEARNS_NOTHING = "episodes = 100000\nat_most = 100000\n"
ROUND = 24
"""People who come before the daemon is waited for."""
MOST_PEOPLE = 1500


class EarnedLoop(LoopProcesses):
    """Daemon, gateway and people around one engine and one broker; v0 says `first`."""

    def __init__(
        self,
        folder: Path,
        model: Path,
        says: Callable[[str, str], str | None],
        *,
        first: str,
        engine: VllmServer,
        kafka: str,
        policy: str,
    ) -> None:
        super().__init__(folder, model, engine=engine, kafka=kafka, policy=policy, mlflow="")
        head, rest = self.path.read_text().split("[rollout]", 1)
        head = head.replace("episodes = 32\nat_most = 48\n", LEARNS_NOTHING)
        self._config = head, rest.split("[comparison]", 1)[1]
        self.configure(bake_seconds=2.0)
        self.versions = SpokenVersions(self.config)
        self.versions.write(first)
        self.people = Readers(f"http://{LOOPBACK}:{self.gateway_port}", says)

    def until(self, done: Callable[[], bool], seconds: float = 180.0) -> None:
        """Wait longer than others do: each daemon brings a learner, which a busy machine delays."""
        super().until(done, seconds)

    def configure(self, **rollout: object) -> None:
        """Write the config with these settings of `[rollout]`; the next daemon reads it."""
        lines = [f"{key} = {value}" for key, value in {**ROLLOUT, **rollout}.items()]
        section = "\n".join(["[rollout]", *lines, "", "[comparison]"])
        self.path.write_text(section.join(self._config))
        self.config = load_config(self.path)

    def offer(self, text: str, **rollout: object) -> str:
        """Let the learner have made a version that says a text; return it once people may meet it.

        The daemon finds it when it starts again, which it does with these settings of `[rollout]`.
        """
        self.until(self._free)
        self.daemon.stop()
        version = self.versions.write(text).version
        self.configure(**rollout)
        self.daemon.spawn()
        self.until(lambda: version in self.rollouts() and self.stage(version) is Stage.CANARY)
        return version

    def stage(self, version: str) -> Stage:
        """Return where a version's rollout is."""
        return self.rollouts()[version].stage

    def people_until(self, done: Callable[[list[Reading]], bool]) -> list[Reading]:
        """Let people come, a round at a time, until something is the case of what they read; return it."""
        read: list[Reading] = []
        while not done(read):
            assert len(read) < MOST_PEOPLE, f"{self.live()}\n{self.daemon.tail()}"
            read += self.people.visit(ROUND)
            self.seen()
        return read

    def seen(self) -> None:
        """Wait until the daemon has joined all that people got and said, and has looked at it."""
        self.until(self._joined)
        before = self._newest()
        self.until(lambda: self._newest().ended or self._moved(before))

    def resume(self) -> None:
        """Start the daemon that was killed, and wait until it has looked at the rollout."""
        before = self._newest()
        self.daemon.spawn()
        self.until(lambda: self._newest().ended or self._moved(before))

    def champion(self) -> str:
        """Return the version that the flag file gives to everybody."""
        flags = read_flags(self.config.flags_path)
        assert flags is not None
        return flags.champion.version

    def _newest(self) -> Rollout:
        return list(self.rollouts().values())[-1]

    def _moved(self, before: Rollout) -> bool:
        """Return whether a look began and ended since, or led to a move."""
        now = self._newest()
        return now.looks >= before.looks + 2 or len(now.trail) > len(before.trail)

    def _joined(self) -> bool:
        people = self.people
        ((answers,),) = self.ask("SELECT COUNT(*) FROM episodes WHERE received IS NOT NULL")
        ((feedback,),) = self.ask("SELECT COUNT(*) FROM feedback")
        return bool(answers >= len(people.readings) and feedback >= people.said)

    def _free(self) -> bool:
        """Return whether no rollout is under way and the learner owes no return."""
        with state_view(self.config.state_database) as view:
            owed = rollouts_table.must_return(view, self.config.policy)
            return owed is None and rollouts_table.current(view, self.config.policy) is None

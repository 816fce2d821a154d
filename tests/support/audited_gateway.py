"""AuditedGateway: a gateway of a config file on the embedded log, whose records `rlwd audit` counts."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from gateway_rig import CHAT, HELLO, GatewayRig

from rlwd.daemon.audit.audit import Audit, audit
from rlwd.daemon.config import Config, load_config
from rlwd.daemon.store import state_store
from rlwd.daemon.wire import joiner
from rlwd.daemon.wire_log import event_sink, event_source
from rlwd.streams.join.ingest import Ingest, read_to_end
from rlwd.streams.log.ports import EventSink

CONFIG = """\
state = "state"
[learner]
model = "base"
[gateway]
engines = ["{engine}"]
user_key = "key"
empty_engine_seconds = 0.0
"""


class AuditedGateway:
    """Serves, forwards to a real log, and is audited as the command does."""

    def __init__(self, rig: GatewayRig, **changes: Any) -> None:
        path = rig.folder / "rlwd.toml"
        path.write_text(CONFIG.format(engine=rig.engine.url))
        self.rig, self.config = rig, load_config(path)
        rig.flags = Path(self.config.gateway.flags)
        self.spool = Path(self.config.gateway.spool)
        self.config.state_path.mkdir(exist_ok=True)
        rig.set_flags()
        self.served, self.accepted, self.changes = 0, 0, changes

    @contextmanager
    def life(self, sink: Callable[[], EventSink] | None = None) -> Iterator[httpx.Client]:
        """Serve until the block ends; what the log can take is on it then."""
        self.rig.settings = msgspec.structs.replace(self.config.gateway, port=0, **self.changes)
        with ExitStack() as life:
            yield self.rig.open(sink=sink or (lambda: event_sink(self.config)), life=life)

    def ask(self, client: httpx.Client, *, streamed: bool = False) -> str:
        """Ask once; return the generation's id."""
        body: dict[str, Any] = {**HELLO, "user": "alice", "stream": streamed}
        with client.stream("POST", CHAT, json=body) as response:
            response.read()
            assert response.status_code == 200
        self.served += 1
        return response.headers["X-Rlwd-Generation"]

    def accept(self, client: httpx.Client, generation: str, name: str) -> int:
        """Post feedback; return its status, and count it where it was acknowledged."""
        post = {"feedback_id": name, "generation_id": generation, "signal": {"kind": "accepted"}}
        status = client.post("/v1/feedback", json=post).status_code
        self.accepted += status == 202
        return status

    def audit(self) -> Audit:
        """Take in all there is on the log and audit it."""
        return audited(self.config)


def audited(config: Config) -> Audit:
    """Ingest the log to its end; return what `rlwd audit` finds."""
    store = state_store(config)
    ingest = Ingest(store, joiner(config), lambda resume: event_source(config, resume))
    read_to_end(ingest)
    with store.reading() as view:
        found = audit(view, config.policy, [], [Path(config.gateway.spool)])
    ingest.source.close()
    store.close()
    return found

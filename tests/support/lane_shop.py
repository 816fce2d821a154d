"""LaneShop: a real daemon with its learner and a real gateway; the engine is a fake that says `bad!`."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
from gateway_rig import CHAT, GatewayRig, LoopThread
from lone_daemon import Workshop

from rlwd.daemon.audit.audit import Audit, audit
from rlwd.daemon.explain.explain import explain
from rlwd.daemon.store import existing_store
from rlwd.learner.sealed import SealedBatch
from rlwd.learner.spelt_tokens import load_spelt_tokens
from rlwd.learner.tiny.model import prompt_ids
from rlwd.ops.flags.assignment import ServedVersion
from rlwd.ops.flags.flag_file import write_flags
from rlwd.ops.flags.flag_state import FlagState, to_document
from rlwd.streams.log.embedded_log import EmbeddedSink

ANSWER = ("b", "a", "d", "!")
LANES = "[learner.lanes]\nhindsight = 1.0\n[privacy]\nown_words = true\n"
ASKED = [{"role": "user", "content": "hi"}]


class LaneShop:
    """A daemon with its learner, and a gateway that writes to its log; the engine says `bad!`."""

    def __init__(
        self,
        folder: Path,
        model: Path,
        loop: LoopThread,
        stack: ExitStack,
        more: str = LANES,
        **settings: Any,
    ) -> None:
        """`settings` are the workshop's."""
        self.model = model
        self.shop = Workshop(folder, model, passes=2, poll_seconds=0.05, more=more, **settings)
        stack.callback(self.shop.close)
        self.rig = GatewayRig(folder, loop, stack)
        engine: Any = self.rig.engine
        self.answers(ANSWER)
        whole = engine.whole

        def as_asked(body: dict[str, Any], chat: bool) -> dict[str, Any]:
            return {**whole(body, chat), "prompt_token_ids": prompt_ids(model, body["messages"])}

        engine.whole = as_asked
        stack.enter_context(self.shop.daemon("one"))
        self.shop.until(lambda: bool(self.shop.ask("SELECT version FROM champions")))
        ((version,),) = self.shop.ask("SELECT version FROM champions")
        v0 = ServedVersion(version=version, digest=version[-8:] + "0" * 56)
        engine.known = {version}
        state = FlagState(
            policy="policy",
            generation=1,
            salt="salt",
            holdout_salt="holdout/policy",
            champion=v0,
            previous=v0,
            anchor=v0,
        )
        write_flags(self.rig.flags, to_document(state))
        self.client = self.rig.open(sink=lambda: EmbeddedSink(self.shop.config.log_path))

    def answers(self, letters: Sequence[str]) -> None:
        """Let the engine answer so from now on."""
        tokens = load_spelt_tokens(self.model)
        assert tokens is not None
        spelt = {tokens.spell([number])[0]: number for number in range(256)}  # type: ignore[index]
        engine: Any = self.rig.engine
        engine.TEXTS = tuple(letters)
        engine.TOKENS = tuple(spelt[one.encode()] for one in letters)

    def ask(self, user: str, **body: Any) -> str:
        """Ask; return the generation's id."""
        asked = {"model": "rlwd", "messages": ASKED, "user": user}
        answer = self.client.post(CHAT, json={**asked, **body})
        assert answer.status_code == 200, answer.text
        return answer.headers["X-Rlwd-Generation"]

    def say(self, generation_id: str, kind: str, **fields: Any) -> None:
        """Post feedback."""
        post = {
            "feedback_id": f"{generation_id}.{kind}",
            "generation_id": generation_id,
            "signal": {"kind": kind, **fields},
        }
        answer: httpx.Response = self.client.post("/v1/feedback", json=post)
        assert answer.status_code == 202, answer.text

    def trained(self) -> SealedBatch:
        """Wait until a version was made; return its batch."""
        self.shop.until(lambda: bool(self.shop.manifests))
        self.shop.until(
            lambda: bool(self.shop.ask("SELECT 1 FROM episodes WHERE fate = 'trained'"))
        )
        ((content,),) = self.shop.ask("SELECT content FROM batches WHERE batch_id = 1")
        return msgspec.json.decode(content, type=SealedBatch)

    def audit(self) -> Audit:
        """Return what `rlwd audit` finds."""
        store = existing_store(self.shop.config)
        with store.reading() as view:
            found = audit(view, "policy", self.shop.manifests)
        store.close()
        return found

    def explain(self, generation_id: str) -> dict[str, Any]:
        """Return what `rlwd explain` tells."""
        store = existing_store(self.shop.config)
        with store.reading() as view:
            told = explain(view, "policy", generation_id)
        store.close()
        return told

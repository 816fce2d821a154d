"""Commit exam: whether a version pleases the team where it was never taught, and what it still knows.

The engine is asked itself, so that no answer becomes an event. The questions are the same ones every time.
"""

import asyncio
import importlib.util
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import orjson

from ..worlds.commits import Change, draw_reworded, draw_unseen
from ..worlds.commits_people import CommitsPeople, ask_about
from ..worlds.everyday import ASKED, is_right
from ..worlds.world import Answer
from .answers_page import write_page
from .crowd import CrowdAnswer
from .proof_picture import draw_proof
from .sitting import ExamAnswer, Sitting

QUESTIONS = 60
"""Of each kind, before and after."""
FEW = 20
"""Of each kind, of a version in between."""
AT_ONCE = 8
EVERYDAY_TOKENS = 32
SETS: dict[str, Callable[[random.Random], Change]] = {
    "unseen": draw_unseen,
    "reworded": draw_reworded,
}
"""Things and kinds of change that were never asked about; wordings in which nobody asked."""


class CommitExam:
    """Asks versions and keeps what they said (an `Exam`)."""

    def __init__(
        self, people: CommitsPeople, *, questions: int = QUESTIONS, few: int = FEW
    ) -> None:
        self.people, self.few = people, few
        self.questions = {
            name: [draw(random.Random(f"{name}:{place}")) for place in range(questions)]
            for name, draw in SETS.items()
        }
        self.sittings: list[Sitting] = []

    async def ask(self, engine: str, version: str, *, whole: bool, answers: int) -> None:
        """As `Exam.ask`: everything, or `few` of each kind. A version that left the engine meanwhile has none."""
        count = None if whole else self.few
        room = asyncio.Semaphore(AT_ONCE)
        timeout = aiohttp.ClientTimeout(total=300)
        async with aiohttp.ClientSession(engine, timeout=timeout) as http:

            async def one(kind: str, body: dict[str, Any], about: Any) -> ExamAnswer:
                async with room, http.post("/v1/chat/completions", json=body) as response:
                    response.raise_for_status()
                    choice = orjson.loads(await response.read())["choices"][0]
                return self._judged(kind, body, choice, about)

            jobs = [
                one(kind, {"model": version, **_body(change)}, change)
                for kind, changes in self.questions.items()
                for change in changes[:count]
            ]
            jobs += [
                one("everyday", {"model": version, **_everyday(text)}, holds)
                for text, holds in (ASKED if whole else ())
            ]
            try:
                asked = await asyncio.gather(*jobs)
            except aiohttp.ClientResponseError:
                return
        self.sittings.append(Sitting(version=version, at=answers, asked=tuple(asked)))

    def finish(
        self, folder: Path, answers: Sequence[CrowdAnswer], report: Mapping[str, Any]
    ) -> dict[str, Any]:
        """As `Exam.finish`: `answers.html`, `exam.json` and `proof.png`; shares before, after and between."""
        (folder / "exam.json").write_bytes(orjson.dumps(msgspec.to_builtins(self.sittings)))
        if not self.sittings:
            return {}
        write_page(folder / "answers.html", self.sittings[0], self.sittings[-1])
        if importlib.util.find_spec("matplotlib") is not None:
            draw_proof(folder / "proof.png", answers, self.sittings, report)
        kinds = (*SETS, "everyday")
        before, after = self.sittings[0], self.sittings[-1]
        return {
            "before": {kind: before.share(kind) for kind in kinds},
            "after": {kind: after.share(kind) for kind in kinds},
            "between": [
                {"version": one.version, "at": one.at, **{kind: one.share(kind) for kind in SETS}}
                for one in self.sittings[1:-1]
            ],
        }

    def _judged(
        self, kind: str, body: dict[str, Any], choice: dict[str, Any], about: Any
    ) -> ExamAnswer:
        text = choice["message"].get("content") or ""
        reason = choice["finish_reason"] or ""
        if kind == "everyday":
            right = is_right(text, about)
        else:
            told = Answer(text=text, message=choice["message"], finish_reason=reason)
            right = self.people.wants(about, told)
        question = body["messages"][-1]["content"]
        return ExamAnswer(kind=kind, question=question, answer=text, right=right)


def _body(change: Change) -> dict[str, Any]:
    ask = ask_about(change)
    return {"messages": list(ask.messages), **ask.options}


def _everyday(question: str) -> dict[str, Any]:
    """Return a request at temperature 0, in the product's own frame."""
    system = ask_about(draw_unseen(random.Random(0))).messages[0]
    asked = {"role": "user", "content": question}
    return {"messages": [system, asked], "temperature": 0.0, "max_tokens": EVERYDAY_TOKENS}

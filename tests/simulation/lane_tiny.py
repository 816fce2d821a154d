"""Lane tiny: a life of the demo's tiny policy that learns by one lane or by several.

The learner's settings are the demo's own. Every round is answered by the weights that are learned from it,
so that no answer is old. An edit is the answer that was wanted.
"""

from pathlib import Path

from lane_lives import Accepts, LaneCase, LaneLife, Said
from poison_policies import Answer, TinyPolicy

from rlwd.daemon.worlds.styles import STYLES, Task, draw_task, hidden_preference
from rlwd.daemon.worlds.styles_people import TAKES_RIGHT
from rlwd.learner.lanes.lane_parts import lane_parts
from rlwd.learner.sealed import Correction, SealedBatch
from rlwd.learner.staying.replay import replayed_texts, with_replay
from rlwd.learner.train.update import apply_batch

PEOPLE = Accepts(wanted=TAKES_RIGHT, other=0.0)
"""The demo's."""
BASE = 0
"""Seed of the one base model; what the crowd wants is of each life's own."""


class TinyLife(LaneLife):
    """A life of the tiny policy, which is pre-trained once and kept in a folder."""

    def __init__(self, case: LaneCase, seed: int, folder: Path, **changes: object) -> None:
        super().__init__(case, seed, PEOPLE)
        given = {"lanes": case.lanes, "nice": 0} | changes
        self.policy = TinyPolicy(folder, seed, pretrained=BASE, **given)
        self.wants = hidden_preference(seed)
        self.lanes = with_replay(lane_parts, replayed_texts(self.policy.learner))

    def say(self, count: int) -> list[Said]:
        """Answer the demo's questions."""
        tasks = [draw_task(self.draw) for _ in range(count)]
        answers = self.policy.answer(tasks, greedy=self.case.greedy)
        return [self._said(task, one) for task, one in zip(tasks, answers, strict=True)]

    def learn(self, batch: SealedBatch) -> None:
        """Apply a batch with all lanes that are on, as the learner process does."""
        apply_batch(self.policy.learner, batch, lanes=self.lanes)

    def _said(self, task: Task, answer: Answer) -> Said:
        wish = STYLES[self.wants[task.kind]](task.topic)
        ended = answer.completion[-1] == self.policy.tokenizer.eos_token_id
        return Said(
            task.kind,
            answer.prompt,
            answer.completion,
            answer.logprobs,
            answer.style == self.wants[task.kind],
            Correction(text=wish, first=0, past=len(answer.completion) - ended),
        )

"""Evidence: the answers that an alarm names, for people to look at."""

from collections.abc import Mapping, Sequence

from ...rewards.behaviours.phrases import Said, says
from .drift_answers import DriftAnswer
from .drift_look import BehaviourLook

EVIDENCE = 10
"""Answers that an alarm names."""


def evidence(one: BehaviourLook, answers: Sequence[DriftAnswer]) -> tuple[str, ...]:
    """Return ten answers that do it most, those first whose content is held."""
    name = one.name.replace("tools:", "tool:", 1)
    sign = 1.0 if one.difference >= 0 else -1.0

    def value(answer: DriftAnswer) -> float:
        numbers = {
            **answer.behaviours,
            "keep_rate": answer.kept,
            "edit_rate": float(answer.edited),
            "empty": float(answer.empty),
            "length": answer.tokens,
        }
        found = numbers.get(name)
        return float("-inf") if found is None else sign * found

    ranked = sorted(answers, key=lambda answer: (answer.held, value(answer)), reverse=True)
    return tuple(answer.generation_id for answer in ranked[:EVIDENCE])


def sayers(said: Mapping[str, Said], phrases: Sequence[str]) -> tuple[str, ...]:
    """Return ten answers that say most of these phrases."""
    told = {name: sum(says(one.text, each) for each in phrases) for name, one in said.items()}
    ranked = sorted((name for name in told if told[name]), key=lambda name: (-told[name], name))
    return tuple(ranked[:EVIDENCE])

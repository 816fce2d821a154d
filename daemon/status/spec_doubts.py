"""Spec doubts: what a reward spec says that may well be meant otherwise, for a person to look at."""

from collections.abc import Collection, Iterator

from ...rewards.spec.decisive import KEPT
from ...rewards.spec.spec import Spec
from ...streams.events.signals import Kept, Signal, ToolResult

MARKED = "marked"


def spec_doubts(spec: Spec, rubrics: Collection[str]) -> list[str]:
    """Return what to look at: rubrics that nobody marks by, and signals that decide and say nothing.

    `rubrics` are those of the configuration. Neither is refused: a rubric may come later, and of an
    answer that another signal speaks for a decision may count that has no value of its own.
    """
    return [*_unknown_rubrics(spec, rubrics), *_unread(spec)]


def _unknown_rubrics(spec: Spec, rubrics: Collection[str]) -> Iterator[str]:
    for name, part in spec.parts.items():
        given = part if not isinstance(part, float | int) else None
        base, _, rubric = ((given.of if given is not None else "") or name).partition("@")
        if base != MARKED:
            continue
        rubric = rubric or str((given.options if given is not None else {}).get("rubric", ""))
        known = f"there are {', '.join(rubrics)}" if rubrics else "there is none"
        if (rubric and rubric not in rubrics) or not rubrics:
            asked = f"the rubric {rubric!r} is" if rubric else "its rubrics are"
            yield f"$.parts.{name}: {asked} not in [satisfaction.rubrics] ({known}): it has no value"


def _unread(spec: Spec) -> Iterator[str]:
    fields = Spec.__struct_fields__[-len(Spec.__struct_defaults__) :]
    if spec.decisive == dict(zip(fields, Spec.__struct_defaults__, strict=True))["decisive"]:
        return  # Nobody named these.
    parts = spec.terms[0]
    if any(term.distribution for term in parts):
        return  # What an installed part reads is not known.
    read: set[type[Signal]] = {kind for term in parts for kind in term.kinds}
    named: list[tuple[str, type[Signal]]] = [
        (str(kind.__struct_config__.tag), kind) for kind in spec.decides.kinds
    ]
    if spec.decides.kept_seconds is not None:
        named.append((KEPT, Kept))
    if spec.decides.faults:
        named.append(("tool_result", ToolResult))
    for name, kind in named:
        if kind not in read:
            yield (
                f"$.decisive: {name} decides, and no part reads it: an answer of which nothing else is"
                " known has no reward"
            )

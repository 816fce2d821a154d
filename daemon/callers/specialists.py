"""Specialists: policies of their own for some tenants or kinds of work, and which policy owns an answer."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from ...streams.events.generation import Generation
from ...streams.redaction.privacy import TenantPrivacy
from .generation_ids import tag_of

ALL = "*"
"""Stands for every tenant, where a specialist is one of a kind of work."""
LEAST_ADAPTERS = 6
"""What one policy may have in an engine at once: champion, the one before, v0, the one on trial, that of an
experiment on the product, and one more under a name of the moment while it is proven."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class SpecialistSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[specialists.NAME]`: a policy of that name, which learns from its own answers, and they teach
    no other (docs/specialists.md). It has a daemon of its own, with a config file that names this one as
    its `parent`."""

    tenants: tuple[str, ...]
    """Whose answers are its own; `*` is every tenant's, which then learn together."""
    segments: tuple[str, ...] = ()
    """Which kinds of work of theirs (`X-Rlwd-Segment`); empty: all."""
    consent: Literal["as_tenant", "opt_in"] = "as_tenant"
    """What a request to it means that says nothing of consent: as `[privacy]` has it for its tenant, or
    opt_in, that none is given."""
    start: Literal["parent", "base"] = "parent"
    """What its v0 is: the weights of the parent's champion of that day, or the base model's, with nothing
    in them that anybody taught."""
    least_answers: int = 500
    """Decided answers of its own before it makes its v0; until then the parent's champion answers."""
    least_users: int = 20
    """Users whom these answers were for, unnamed ones being one: fewer are not learned from."""
    adapters: int = LEAST_ADAPTERS
    """How many of `engine.adapters` are its own; the parent has what is left."""


class Specialists:
    """Which policy owns an answer: its tenant's for this kind of work, else its tenant's, else that of the
    kind of work, else the parent.

    >>> one = Specialists("main", {"acme": SpecialistSettings(tenants=("acme",))})
    >>> one.owner("acme", "reply"), one.owner("lab", "reply")
    ('acme', 'main')
    """

    def __init__(self, parent: str, settings: Mapping[str, SpecialistSettings]) -> None:
        """Raises ValueError, naming the section, for names that are none and where two own the same."""
        self.parent, self.settings = parent, settings
        self._owners: dict[tuple[str, str], str] = {}
        for name, one in settings.items():
            self._claim(name, one)
        self._tags = {policy_tag(name): name for name in settings}

    def _claim(self, name: str, one: SpecialistSettings) -> None:
        path = f"specialists.{name}"
        if not _NAME.fullmatch(name) or name == self.parent:
            raise ValueError(
                f"{path}: a letter or digit, then those, . _ and -, 100 at most, and not the parent's name"
            )
        if not one.tenants or (ALL in one.tenants and len(one.tenants) > 1):
            raise ValueError(f'{path}.tenants: names of tenants, or "*" alone')
        if ALL in one.tenants and not one.segments:
            raise ValueError(f'{path}.segments: needed beside tenants = ["*"]')
        for tenant in one.tenants:
            for segment in one.segments or ("",):
                other = self._owners.setdefault((tenant, segment), name)
                if other != name:
                    said = f"{tenant!r}" + (f", {segment!r}" if segment else "")
                    raise ValueError(f"{path}: {said} is {other}'s already")

    def owner(self, tenant: str, segment: str) -> str:
        """Return the policy whose an answer is."""
        for claim in ((tenant, segment), (tenant, ""), (ALL, segment)):
            if claim in self._owners:
                return self._owners[claim]
        return self.parent

    def owns(self, policy: str, data: Generation) -> bool:
        """Return whether a record that stands in a policy's topic is its own: by tenant and kind of work, and
        no other specialist is named as the one that it was for.
        """
        named = data.policy if data.policy in self.settings else policy
        return named == policy and self.owner(data.tenant, data.segment) == policy

    def may_learn(self, policy: str, generation_id: str, tenant: str, segment: str) -> bool:
        """Return whether an answer may be in a policy's weights: it is its own, and was when it was given.

        What the parent answered before a tenant had a specialist stays the parent's.
        """
        given_to = tag_of(generation_id)
        if policy == self.parent:
            return not given_to
        tags = (None, policy_tag(policy))
        return given_to in tags and self.owner(tenant, segment) == policy

    def may_own(self, tenant: str) -> tuple[str, ...]:
        """Return the policies that some answer to a tenant may be of."""
        found = {name for (of, part), name in self._owners.items() if of == tenant and part}
        if (tenant, "") in self._owners:
            found.add(self._owners[tenant, ""])
        else:
            found |= {self.parent, *(name for (of, _), name in self._owners.items() if of == ALL)}
        return tuple(sorted(found))

    def tagged(self, tag: str) -> str:
        """Return the policy with this tag, the parent without one. Raises ValueError for an unknown one."""
        if tag and tag not in self._tags:
            raise ValueError("$.generation_id: is of a policy that is not served here")
        return self._tags[tag] if tag else self.parent

    def agreed(self, policy: str, tenant: TenantPrivacy) -> TenantPrivacy:
        """Return what holds for a tenant where this policy answers."""
        one = self.settings.get(policy)
        if one is None or one.consent == "as_tenant":
            return tenant
        return msgspec.structs.replace(tenant, consent="opt_in")


def policy_tag(policy: str) -> str:
    """Return the 8 hex digits by which ids of a specialist's answers tell whose they are."""
    return hashlib.sha256(policy.encode()).hexdigest()[:8]


def topic_of(topic: str, policy: str, parent: str) -> str:
    """Return a policy's topic: the parent's own, or beside it one with the specialist's name.

    >>> topic_of("rlwd.feedback", "acme", "main"), topic_of("rlwd.feedback", "main", "main")
    ('rlwd.feedback.acme', 'rlwd.feedback')
    """
    return topic if policy == parent else f"{topic}.{policy}"


def check_specialists(
    parent: str, specialists: Mapping[str, SpecialistSettings], adapters: int, topics: Sequence[str]
) -> None:
    """Raise ValueError, naming the key, where they do not fit beside one another, or into the engines.

    `topics` are the parent's.
    """
    Specialists(parent, specialists)
    taken = {*topics}
    for name in specialists:
        own = {topic_of(topic, name, parent) for topic in topics}
        if both := sorted(own & taken):
            raise ValueError(f"specialists.{name}: its topic {both[0]} is another's")
        taken |= own
    left = parents_adapters(adapters, specialists)
    if specialists and left < LEAST_ADAPTERS:
        raise ValueError(
            f"engine.adapters: is {adapters}: the specialists have {adapters - left} of them, and the"
            f" parent needs {LEAST_ADAPTERS} (vLLM: the smaller of --max-loras and --max-cpu-loras)"
        )


def parents_adapters(total: int, specialists: Mapping[str, SpecialistSettings]) -> int:
    """Return how many adapters of an engine are the parent's."""
    return total - sum(one.adapters for one in specialists.values())

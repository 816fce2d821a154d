"""PolicyFlags: whose flags decide a request: those of the policy that owns its answer, else its parent's champion."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from ...ops.flags.assignment import Assignment, ServedVersion, Variant, bucket
from ...ops.flags.evaluator import FlagEvaluator, FlagsUnavailable
from ...ops.flags.flag_state import FlagState
from ..callers.specialists import Specialists
from .settings import GatewaySettings


class PolicyFlags:
    """The flags of all policies that one gateway serves.

    A specialist's users are in its own experiments and in none of its parent's. Until its flags are
    there they get the parent's champion, and where no engine has its versions likewise. Not
    thread-safe.
    """

    def __init__(self, settings: GatewaySettings, spool: Path) -> None:
        """Copies of the last good flags are kept in the spool's folder."""
        self.settings = settings
        self.owners = Specialists(settings.policy, settings.specialists)
        self.parent = FlagEvaluator(
            None if settings.flags_url else Path(settings.flags),
            copy=spool / "flags.last.json",
            policy=settings.policy,
            place=settings.flags_url,
        )
        self.own = {
            name: FlagEvaluator(
                Path(settings.flags_of(name)), copy=spool / f"flags.{name}.last.json", policy=name
            )
            for name in settings.specialists
        }

    def followed(self) -> Iterator[tuple[GatewaySettings, FlagEvaluator]]:
        """Yield each policy's flags, with settings by which they are followed."""
        yield self.settings, self.parent
        for name, flags in self.own.items():
            changes = {"policy": name, "flags": self.settings.flags_of(name), "specialists": {}}
            yield msgspec.structs.replace(self.settings, **changes), flags

    def deciding(self, policy: str) -> FlagEvaluator:
        """Return the flags that decide: a policy's own once there are any, else the parent's."""
        own = self.own.get(policy)
        return self.parent if own is None or not own.ready else own

    def state_of(self, policy: str) -> FlagState | None:
        """Return what a policy's own flags say, the parent's of nobody else; None before there are any."""
        return self.own.get(policy, self.parent).state

    def assign(self, policy: str, user_hash: str, now: float) -> Assignment:
        """Return what a user is served by. Raises FlagsUnavailable where nothing says so."""
        own = self.own.get(policy)
        if own is None:
            return self.parent.evaluate(user_hash, now)
        own.refresh(now)
        if not own.ready:
            return self._champion(user_hash, now)
        assigned = own.evaluate(user_hash, now)
        self.parent.refresh(now)
        if self.parent.state is None:
            return assigned
        last = (*assigned.fallbacks, self.parent.state.champion)
        return msgspec.structs.replace(assigned, fallbacks=last)

    def _champion(self, user_hash: str, now: float) -> Assignment:
        """Return the parent's champion, whatever the parent tries on its own users."""
        self.parent.refresh(now)
        state = self.parent.state
        if state is None:
            raise FlagsUnavailable(self.parent.problem)
        others: tuple[ServedVersion | None, ...] = (state.previous, state.anchor)
        return Assignment(
            variant=Variant.CHAMPION,
            served=state.champion,
            fallbacks=tuple(one for one in others if one not in (None, state.champion)),
            salt=state.salt,
            bucket=bucket(state.salt, user_hash),
            generation=state.generation,
            reason="parent",
        )

    def close(self) -> None:
        """Forget all rules."""
        for flags in (self.parent, *self.own.values()):
            flags.close()

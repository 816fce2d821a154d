"""Look settings: error probabilities and sample sizes of the sequential tests of a rollout."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LookSettings:
    """Error probabilities of the sequential tests, and the sizes that they are tuned for."""

    alpha_harm: float = 0.05
    """Probability, over all looks and metrics, of a false alarm."""
    harm_users: int = 30
    """Users per variant from which on harm may be found."""
    harm_planned_users: int = 300
    """Users per variant at which the bound for harm is tightest: a bad candidate meets few."""
    alpha_promote: float = 0.05
    """Probability, over all looks, that what is worse than a margin is promoted."""
    promote_users: int = 100
    """Users per variant from which on a goal may be shown."""
    promote_planned_users: int = 5000
    """Users per variant at which the bound for promotion is tightest."""

    def __post_init__(self) -> None:
        for name in ("alpha_harm", "alpha_promote"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie between 0 and 1")
        for name in ("harm_users", "harm_planned_users", "promote_users", "promote_planned_users"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 2")

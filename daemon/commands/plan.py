"""`rlwd plan`: what a crowd of users can show of a candidate, and in how many days.

The command line loads this file for its help, so everything heavier is imported when it runs.
"""

import math
from typing import TYPE_CHECKING, Annotated

from typer import Option

if TYPE_CHECKING:
    from rich.table import Table

    from ...ops.statistics.planner import Plan, PlannedRollout


def plan_command(
    lift: Annotated[str, Option(help="Hoped-for improvement, such as 2.28%.")],
    base: Annotated[float, Option(help="Mean reward now, between 0 and 1.")],
    users_per_day: Annotated[float, Option(help="Users who come in a day.")],
    share: Annotated[float, Option(help="Share of them in the candidate's variant.")] = 0.45,
    margin: Annotated[str, Option(help="Loss that a promotion must exclude.")] = "2%",
    harm: Annotated[str, Option(help="Loss whose discovery is planned.")] = "10%",
    days: Annotated[float, Option(help="Longest time for a rollout.")] = 7.0,
    answers_per_user: Annotated[float, Option(help="Decided answers per user.")] = 1.0,
    correlation: Annotated[float, Option(help="Of two outcomes of one user.")] = 0.1,
    new_share: Annotated[float, Option(help="Share of new users after the first day.")] = 1.0,
    horizon: Annotated[float, Option(help="Seconds until an answer counts.")] = 3600.0,
) -> None:
    """Print what a crowd of users can show of a candidate: users and days, and wrong decisions."""
    from rich.console import Console

    from ...ops.statistics.look_settings import LookSettings
    from ...ops.statistics.metric import DEFAULT_METRICS, harm_alphas
    from ...ops.statistics.planner import PlannedRollout
    from ...ops.statistics.planner import plan as planned

    asked = PlannedRollout(
        lift=relative(lift),
        base=base,
        users_per_day=users_per_day,
        share=share,
        margin=relative(margin),
        harm=relative(harm),
        days=days,
        answers_per_user=answers_per_user,
        correlation=correlation,
        new_share=new_share,
        horizon_days=horizon / 86_400,
    )
    settings = LookSettings()
    alpha_harm = harm_alphas(DEFAULT_METRICS, settings.alpha_harm)["reward"]
    found = planned(asked, settings, alpha_harm=alpha_harm)
    Console(highlight=False).print(_table(asked, found))


def relative(text: str) -> float:
    """Return a share written as `2.28%` or `0.0228`; raises ValueError for anything else."""
    number = text.strip()
    try:
        value = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{text}: write it like 2.28% or 0.0228")
    return value


def _table(asked: "PlannedRollout", found: "Plan") -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(
        title=f"{asked.lift:+.2%} of {asked.base:g}, {asked.users_per_day:,.0f} users a day",
        box=box.SIMPLE,
    )
    table.add_column("half of the rollouts need")
    table.add_column("users per variant", justify="right")
    table.add_column("days", justify="right")
    table.add_column(f"within {asked.days:g} days", justify="right")
    rows = (
        (f"to promote: not worse by {asked.margin:.2%}", found.promote_users, found.promoted),
        ("to show that it is better", found.superior_users, math.nan),
        (f"to find a loss of {asked.harm:.2%}", found.harm_users, found.harm_found),
    )
    for what, users, share in rows:
        days = asked.days_for(users)
        table.add_row(
            what,
            f"{users:,.0f}" if math.isfinite(users) else "more than come",
            f"{days:.1f}" if math.isfinite(days) else f"over {asked.days:g}",
            "" if math.isnan(share) else f"{share:.0%}",
        )
    table.caption = (
        f"{found.rollouts_a_month:.1f} rollouts a month, of which {found.wrong_promotions:.2f} would"
        f" be promoted wrongly if all were worse by the margin, and {found.wrong_refusals:.2f} rolled"
        f" back wrongly if all were equal.\nThe smallest difference that {asked.days:g} days show in"
        f" 4 of 5 rollouts is {found.smallest_effect:.2%} of {asked.base:g}"
        f" ({found.most_users:,.0f} users per variant)."
    )
    return table

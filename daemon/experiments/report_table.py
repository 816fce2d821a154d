"""Report table: champion against holdout in words, and by week and version."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich import box
from rich.table import Table

from ...ops.rollout.holdout_table import HoldoutLook, HoldoutMeasure
from ..status.shown_text import shown


def sentence(looks: Sequence[HoldoutLook], share: float) -> str:
    """Return what learning has brought in all, or why nobody can say it yet."""
    if not looks and not share:
        return "nobody is held out: rollout.anchor_share is 0, so nothing says what learning brings"
    if not looks:
        return (
            "nothing to compare yet: no answer to the holdout on v0 is past its horizon beside a"
            " champion that learned; the daemon looks once a minute"
        )
    whole = looks[0]
    users = f"{whole.champion_users} users of the champion against {whole.holdout_users} on v0"
    since = f"since {datetime.fromtimestamp(whole.began, UTC):%Y-%m-%d}"
    reward = next((one for one in whole.measures if one.name == "reward"), None)
    if reward is None:
        return f"too little to say: {users}, {since}, and nobody decided on answers of both"
    if reward.low is None or reward.high is None:
        return f"too few users to say: {users}, {since}; two of each are the least"
    told = (
        f"reward {reward.difference:+.4f} (between {reward.low:+.4f} and {reward.high:+.4f}, at all"
        f" looks with 95 %): {reward.champion:.4f} against {reward.holdout:.4f}; {users}, {since}"
    )
    if reward.low <= 0 <= reward.high:
        return f"what learning has brought in all cannot be told from nothing yet: {told}"
    return f"what learning has brought in all: {told}"


def report_table(looks: Sequence[HoldoutLook]) -> Table:
    """Return the periods as rows."""
    table = Table(
        box=box.SIMPLE,
        title="Champion minus holdout",
        title_justify="left",
        caption="Each interval holds at all looks with 95 %; differences are absolute.",
    )
    table.add_column("period", no_wrap=True)
    for name in ("since", "reward", "feedback rate", "error rate", "users"):
        table.add_column(name, justify="right")
    for look in looks:
        measures = {one.name: one for one in look.measures}
        names = ("reward", "feedback_rate", "error_rate")
        cells = (
            look.period,
            f"{datetime.fromtimestamp(look.began, UTC):%Y-%m-%d %H:%M}",
            *(_cell(measures.get(name)) for name in names),
            f"{look.champion_users} / {look.holdout_users}",
        )
        table.add_row(*map(shown, cells))
    return table


def _cell(measure: HoldoutMeasure | None) -> str:
    if measure is None:
        return "none yet"
    if measure.low is None or measure.high is None:
        return f"{measure.difference:+.4f}"
    return f"{measure.difference:+.4f} ({measure.low:+.3f} to {measure.high:+.3f})"

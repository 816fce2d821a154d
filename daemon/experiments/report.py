"""Report: `rlwd report`, what learning has brought: champion against holdout, and what versions do."""

import msgspec
from rich.console import Console
from rich.text import Text

from ...ops.rollout import holdout_table
from ..config import Config
from ..shown_json import shown_json
from ..store import state_view
from .report_drift import drift_tables, read_drift_report
from .report_table import report_table, sentence


def print_report(config: Config, *, as_json: bool) -> None:
    """Print the difference in all, by week and by version; the daemon may run or not.

    Raises ValueError where there is no state database; none is made.
    """
    with state_view(config.state_database) as view:
        looks = holdout_table.looks(view, config.policy)
        drift = read_drift_report(view, config.policy)
    if as_json:
        document = {
            "policy": config.policy,
            "holdout_share": config.rollout.anchor_share,
            "says": sentence(looks, config.rollout.anchor_share),
            "alarm": looks[0].alarm if looks else "",
            "periods": msgspec.to_builtins(looks),
            "drift": drift,
        }
        print(shown_json(document))
        return
    console = Console()
    console.print(Text(sentence(looks, config.rollout.anchor_share)))
    if looks and looks[0].alarm:
        console.print(Text(f"problem, holdout: {looks[0].alarm}"))
    if looks:
        console.print(report_table(looks))
    for part in drift_tables(drift):
        console.print(part)

"""Lane lives: a lane alone finds what a crowd wants (`python -m bench_lanes` compares them all)."""

import msgspec
from lane_lives import OFF, LaneCase, TableLife


def test_a_lane_alone_finds_what_is_wanted() -> None:
    """Without any usable log-probability, from a fifth of the answers on, KTO raises the crowd's style."""
    case = LaneCase("kto", msgspec.structs.replace(OFF, kto=1.0), 0.0)
    _, shares = TableLife(case, 0).live(768)
    assert shares[0] < 0.35
    assert shares[-1] > shares[0] + 0.25

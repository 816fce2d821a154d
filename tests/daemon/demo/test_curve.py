"""The demo's curve: when the crowd began to accept most answers."""

from rlwd.daemon.demo.curve import WINDOW, answers_until


def test_answers_until_a_whole_window_is_accepted_so_often() -> None:
    """Of a window of 200 the first 160 taken ones in a row make four fifths; fewer answers say nothing."""
    turned_down, taken = [False] * 300, [True] * 400
    assert answers_until([*turned_down, *taken], 0.8) == 300 + 160
    assert answers_until(taken, 0.8) == WINDOW
    assert answers_until(taken[:100], 0.8) is None
    assert answers_until(turned_down, 0.8) is None

"""Who was asked, and who answers at all: what is made up for, what is not, and what that costs."""

from response_worlds import TRUE, judged

RUNS = 60


def test_what_the_product_says_of_asking_is_made_up_for() -> None:
    """Where hard requests are asked about seldom, the style that is good at them looks no better by half
    of what it is; weighed by the probability it does."""
    world = "asked by kind of request, and said so"
    assert judged(world, "off", RUNS)[0] < -0.5 * TRUE
    assert abs(judged(world, "asked", RUNS)[0]) < 0.25 * TRUE


def test_a_model_helps_where_it_sees_the_cause_and_does_harm_where_it_does_not() -> None:
    """Silence after slow answers is made up for; where what is silent is the pleased, or the calm, the
    model's error is larger than without it: it is off unless somebody turns it on."""
    slow = "slow answers are left"
    assert judged(slow, "asked", RUNS)[0] < -0.4 * TRUE
    assert abs(judged(slow, "model", RUNS)[0]) < 0.25 * TRUE
    hidden = "slow answers are complained of"
    assert judged(hidden, "model", RUNS)[1] > 1.2 * judged(hidden, "asked", RUNS)[1]

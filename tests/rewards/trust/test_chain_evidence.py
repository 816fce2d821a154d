"""One act on a whole session is one decision, however many answers it reaches."""

from evidence_by_hand import evidence

from rlwd.rewards.trust.settings import TrustSettings
from rlwd.rewards.trust.weighing import Past, weigh


def test_an_act_on_a_session_is_no_burst() -> None:
    """Fifty answers that one act reached are decided on at once, and not by fifty hasty looks."""
    at = {"user": ("t", "ada"), "acted_at": 9000.0, "reward": 1.0}
    others = [evidence(n) for n in range(100, 140)]
    chain = [evidence(n, by_chain=n > 0, share=0.9**n, **at) for n in range(50)]
    alone = [evidence(n, **at) for n in range(50)]
    settings = TrustSettings(user_share=1.0)
    reached = weigh([*chain, *others], settings, Past())
    apart = weigh([*alone, *others], settings, Past())
    assert not {"burst", "pace", "one_sided"} & {name for one in reached for name in one.factors}
    assert {"burst", "one_sided"} <= apart[0].factors.keys()
    assert [one.factors.get("chain", 1.0) for one in reached[:50]] == [0.9**n for n in range(50)]

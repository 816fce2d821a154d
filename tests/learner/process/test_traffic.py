"""The learner makes way for people's requests, and what it learns stays the same."""

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
from forked import ForkServer
from rank_runs import RankRun, made_by_ranks

from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.learner.process.protocol import Apply, Yielding
from rlwd.learner.process.traffic import Traffic
from rlwd.learner.process.worker import Worker
from rlwd.learner.sealed import SealedBatch
from rlwd.learner.settings import LearnerProcessSettings
from rlwd.learner.yield_settings import YieldSettings

MakeBatch = Callable[..., SealedBatch]
Sealed = Callable[[SealedBatch], Path]
ON = YieldSettings(above_seconds=1.0)


def with_yielding(
    settings: LearnerProcessSettings, folder: Path, yielding: YieldSettings, processes: int = 1
) -> LearnerProcessSettings:
    learner = msgspec.structs.replace(settings.learner, yielding=yielding, processes=processes)
    return msgspec.structs.replace(settings, learner=learner, folder=str(folder))


def test_a_batch_stays_the_same_bits(
    child_settings: LearnerProcessSettings, make_batch: MakeBatch, sealed: Sealed, tmp_path: Path
) -> None:
    """A batch that was paused again and again makes the version that one without a pause makes."""
    batch = sealed(make_batch(1))
    steady = Worker(with_yielding(child_settings, tmp_path / "steady", YieldSettings()))
    steady.apply(batch)
    told, over = list[Yielding](), threading.Event()
    traffic = Traffic(ON, told.append)

    def disturb() -> None:
        while not over.wait(0.02):
            traffic.hear(0.01)

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    try:
        disturbed = Worker(with_yielding(child_settings, tmp_path / "paused", ON), traffic=traffic)
        disturbed.apply(batch)
    finally:
        over.set()
        disturbing.join()
    assert disturbed.head.files == steady.head.files
    assert not any(name.startswith("yield/") for name in steady.head.metrics)
    pauses = [one for one in told if one.over]
    assert disturbed.head.metrics["yield/pauses"] == len(pauses) > 0
    assert disturbed.head.metrics["yield/seconds"] > 0.0


def test_ranks_pause_together(
    child_settings: LearnerProcessSettings,
    make_batch: MakeBatch,
    sealed: Sealed,
    tmp_path: Path,
    forks: ForkServer,
) -> None:
    """Only rank 0 hears of the traffic; the other one waits with it, and the version is the same."""
    command = Apply(path=str(sealed(make_batch(1))))
    runs = [
        RankRun(
            settings=with_yielding(child_settings, tmp_path / name, yielding, processes=2),
            commands=(command,),
        )
        for name, yielding in (("steady", YieldSettings()), ("paused", ON))
    ]
    made_by_ranks(runs, tmp_path, forks)
    steady, paused = (read_manifests(tmp_path / name)[-1] for name in ("steady", "paused"))
    assert paused.files == steady.files
    assert paused.metrics["yield/pauses"] == 1.0


def test_it_never_waits_for_ever() -> None:
    """A daemon that says no more is not waited for, and a batch is not paused for longer than it may be."""
    told = list[Yielding]()
    traffic = Traffic(ON, told.append)
    traffic.begin_batch()
    traffic.hear(0.05)
    traffic.make_way()
    assert [one.over for one in told] == [False, True]

    short = Traffic(YieldSettings(above_seconds=1.0, batch_seconds=0.05))
    short.begin_batch()
    short.hear(3600.0)
    short.make_way()
    assert (short.pauses, short.yielded >= 0.05) == (1, True)
    short.make_way()
    assert short.pauses == 1
    # The next batch is paused anew.
    short.begin_batch()
    short.make_way()
    assert short.pauses == 1


def test_the_daemon_hears_now_and_then_that_it_works() -> None:
    """Before forward passes, ten seconds apart, paused or not, so that one that hangs can be told from it."""
    told, at = list[float](), [0.0]
    traffic = Traffic(YieldSettings(), at_work=lambda: told.append(at[0]), clock=lambda: at[0])
    for at[0] in (3.0, 9.0, 11.0, 12.0, 20.5, 21.0, 60.0):
        traffic.make_way()
    assert told == [11.0, 21.0, 60.0]


def test_it_goes_on_at_once_when_requests_are_fast() -> None:
    """The word that they are fast again ends a pause in the middle."""
    traffic, began = Traffic(ON), threading.Event()
    traffic.tell = lambda _: began.set()
    traffic.begin_batch()
    traffic.hear(3600.0)
    waiting = threading.Thread(target=traffic.make_way)
    waiting.start()
    began.wait()
    traffic.hear(0.0)
    waiting.join()
    assert traffic.pauses == 1


def test_without_the_setting_it_waits_for_nobody() -> None:
    """Whatever a daemon says: the manifest has nothing of it either."""
    traffic = Traffic(YieldSettings())
    traffic.begin_batch()
    traffic.hear(3600.0)
    traffic.make_way()
    assert (traffic.pauses, traffic.metrics()) == (0, {})

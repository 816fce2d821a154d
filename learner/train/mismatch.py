"""Mismatch: the learner's log-probabilities against the engine's, on what the parent itself served.

An answer of age 0 was drawn by the weights that score it before the first step. Between its two
log-probabilities nothing lies but engine and learner: kernels, precision, temperature, processing. Of
an older answer the policy's own movement lies between them too; that is staleness, reported apart.
"""

import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from ...kernels.dispatch import log_ratios
from ..sealed import SealedEpisode

_UNFIT = re.compile(r"[^A-Za-z0-9_.:-]+")


def mismatch_metrics(
    episodes: Sequence[SealedEpisode], logp: Sequence[Tensor], bar: float, *, averaged: bool = False
) -> dict[str, float]:
    """Return `mismatch/…` of answers of age 0, in all and by engine, and `staleness/…` of the others.

    `logp` [tokens each] are under the weights before the first step. With d = log pi - log mu and
    rho = exp(d): `k3` is the mean of rho - 1 - d (an estimate of KL(mu || pi), Schulman 2020), `chi2`
    that of rho^2 less 1, `mean_ratio` that of rho, `largest` the greatest |d|, and `beyond` the share
    of tokens with |d| above `bar`. Of an answer that top-p cut, d is what is beyond [log top_p, 0]: the
    engine's probability is of what was left, of a mass of `top_p` at the least, and differs by so much by
    intent. `averaged`: what the parent offers is a moving average of adapters and not the weights that
    score, so that all differ by more than engine and learner.
    """
    groups: dict[str, list[Tensor]] = {"mismatch": [], "staleness": []}
    for episode, now in zip(episodes, logp, strict=True):
        if episode.age < 0:
            continue
        served = torch.tensor(episode.logprobs, dtype=now.dtype, device=now.device)
        apart = log_ratios(now, served).double()
        apart = apart - apart.clamp(math.log(episode.top_p), 0.0) if episode.top_p < 1.0 else apart
        own = episode.age == 0 and not averaged
        groups["mismatch" if own else "staleness"].append(apart)
        if own and episode.engine:
            groups.setdefault(f"mismatch/by/{_named(episode.engine)}", []).append(apart)
    found = dict[str, float]()
    for name, parts in groups.items():
        found |= _distance(name, parts, bar)
    return found


def _named(engine: str) -> str:
    """Return the replica as a metric's name may hold it: `127.0.0.1:8000`."""
    return _UNFIT.sub("_", engine.partition("://")[2] or engine).strip("_.")[:100]


def _distance(name: str, parts: Sequence[Tensor], bar: float) -> dict[str, float]:
    if not parts:
        return {f"{name}/tokens": 0.0}
    d = torch.cat(list(parts))
    return {
        f"{name}/tokens": float(len(d)),
        f"{name}/k3": float((d.expm1() - d).mean()),
        f"{name}/chi2": float((2 * d).expm1().mean()),
        f"{name}/mean_ratio": float(d.exp().mean()),
        f"{name}/largest": float(d.abs().max()),
        f"{name}/beyond": float((d.abs() > bar).double().mean()),
    }

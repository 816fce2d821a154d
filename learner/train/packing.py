"""Packing: sealed episodes packed into rows, and only their completion tokens kept for the head.

Episodes that continue one another (`learner/chains.py`) are one sequence, that of the last of them, with
a span of completion tokens for each.
Legend: B rows, T packed tokens, M completion tokens of the pack, N episodes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor

from ..chains import chains
from ..mixture import FREE, routed_TLK
from ..sealed import SealedBatch, SealedEpisode


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Episodes in packed rows.

    Two episodes, prompt (5, 6) completion (7, 8) and prompt (9) completion (4), in one row of 6:
    ids 5 6 7 8 9 4, positions 0 1 2 3 0 1, rows 0 0 0, columns 1 2 4 (what predicts 7, 8 and 4),
    targets 7 8 4, segments 0 0 1. With prompt (5, 6, 7, 8, 9) for the second it is one sequence:
    ids 5 6 7 8 9 4, positions 0 1 2 3 4 5, and the rest as before.
    """

    ids_BT: Tensor
    """Token ids; the rest of a row is a sequence of its own, whose states are not used."""
    positions_BT: Tensor
    """Position within the sequence: a restart begins the next one."""
    rows_M: Tensor
    """Row of the hidden state that predicts each completion token."""
    columns_M: Tensor
    """Column of it: one left of the token."""
    targets_M: Tensor
    """The completion tokens."""
    segments_M: Tensor
    """Which of the N episodes, in the order given, each token is of."""
    behaviour_M: Tensor
    """Log-probability of each token when it was drawn."""
    temperature_M: Tensor
    """At which it was drawn."""
    experts_BTLK: Tensor | None = None
    """Experts that the engine sent each token to, in each layer, FREE where nobody told; None where of all."""
    forward_tokens: int = 0
    """Tokens of the sequences, without what fills the rows."""
    shared_tokens: int = 0
    """Tokens that the episodes one by one would have beside these."""


class Share(NamedTuple):
    """A pack that this rank puts through the model."""

    indices: list[int]
    """Of its episodes among those that were packed; of units where they were."""
    packed: Pack
    """They."""
    counts: float = 1.0
    """0 where another rank's is gone through once more, for company: it adds nothing anywhere."""

    def of(self, values_M: Tensor, place: int) -> Tensor:
        """Return an episode's part of what was found of the pack's tokens; of no company's anything."""
        ours: Tensor = values_M[self.packed.segments_M == place] if self.counts else values_M[:0]
        return ours


def completion_lengths(episodes: Sequence[SealedEpisode]) -> list[int]:
    """Return how many tokens each episode's answer has."""
    return [len(one.completion_token_ids) for one in episodes]


def read_batch(path: Path) -> SealedBatch:
    """Read a sealed batch; raises ValueError, naming file and field, where it is not one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=SealedBatch)
    except (OSError, ValueError) as problem:  # msgspec's, or of bytes that are no text
        raise ValueError(f"{path}: {problem}") from problem


def pack(
    episodes: Sequence[SealedEpisode], *, tokens: int, device: torch.device, together: bool = True
) -> Pack:
    """Pack episodes into rows of at most `tokens`, first fit by falling length.

    Without `together` each sequence has a row of its own, for models whose rows leak.

    The last completion token predicts nothing. It is kept: a position is cheaper than a special case.
    Episodes keep their order in the completion tokens whatever row they fall into.
    """
    assert episodes, "nothing to pack"
    ids = [(*e.prompt_token_ids, *e.completion_token_ids) for e in episodes]
    joined = chains(episodes)
    laid = sum(len(ids[chain[-1]]) for chain in joined)
    ids_BT, positions_BT, begins = _laid_out(
        [(chain, ids[chain[-1]]) for chain in joined], tokens, together
    )
    rows, columns, segments = list[int](), list[int](), list[int]()
    for index, episode in enumerate(episodes):
        row, start = begins[index]
        first = start + len(episode.prompt_token_ids) - 1
        count = len(episode.completion_token_ids)
        rows += [row] * count
        columns += range(first, first + count)
        segments += [index] * count
    return Pack(
        ids_BT=ids_BT.to(device),
        positions_BT=positions_BT.to(device),
        rows_M=torch.tensor(rows, device=device),
        columns_M=torch.tensor(columns, device=device),
        targets_M=torch.tensor([t for e in episodes for t in e.completion_token_ids]).to(device),
        segments_M=torch.tensor(segments, device=device),
        behaviour_M=torch.tensor([v for e in episodes for v in e.logprobs]).to(device),
        temperature_M=torch.tensor([e.temperature for e in episodes]).to(device)[
            torch.tensor(segments, device=device)
        ],
        experts_BTLK=_experts(episodes, joined, begins, ids_BT, device),
        forward_tokens=laid,
        shared_tokens=sum(len(each) for each in ids) - laid,
    )


def _laid_out(
    sequences: Sequence[tuple[Sequence[int], tuple[int, ...]]], tokens: int, together: bool
) -> tuple[Tensor, Tensor, dict[int, tuple[int, int]]]:
    """Return ids and positions [B, T], and row and start of each episode, of chains and their tokens."""
    lengths = [len(ids) for _, ids in sequences]
    if together:
        places, used = _first_fit(lengths, max(tokens, *lengths))
    else:
        places, used = [(row, 0) for row in range(len(lengths))], lengths
    shape = (len(used), max(used))
    ids_BT = torch.zeros(shape, dtype=torch.long)
    # What is left of a row counts on from 0 as one more sequence.
    positions_BT = torch.arange(shape[1]).repeat(shape[0], 1)
    for row, end in enumerate(used):
        positions_BT[row, end:] = torch.arange(shape[1] - end)
    begins = dict[int, tuple[int, int]]()
    for (chain, ids), (row, start) in zip(sequences, places, strict=True):
        ids_BT[row, start : start + len(ids)] = torch.tensor(ids)
        positions_BT[row, start : start + len(ids)] = torch.arange(len(ids))
        begins |= dict.fromkeys(chain, (row, start))
    return ids_BT, positions_BT, begins


def _experts(
    episodes: Sequence[SealedEpisode],
    joined: Sequence[Sequence[int]],
    begins: Mapping[int, tuple[int, int]],
    ids_BT: Tensor,
    device: torch.device,
) -> Tensor | None:
    """Return the engine's choice of experts; of a chain its last one's, which holds the others' (`chains`)."""
    told = [chain[-1] for chain in joined if episodes[chain[-1]].routed_experts is not None]
    if not told:
        return None
    found = {index: routed_TLK(episodes[index]) for index in told}
    experts_BTLK = torch.full((*ids_BT.shape, *found[told[0]].shape[1:]), FREE, dtype=torch.int32)
    for index, experts_TLK in found.items():
        row, start = begins[index]
        experts_BTLK[row, start : start + len(experts_TLK)] = experts_TLK
    return experts_BTLK.to(device)


def _first_fit(lengths: list[int], limit: int) -> tuple[list[tuple[int, int]], list[int]]:
    """Row and start of each length, and how full each row is; longest first."""
    places, used = [(0, 0)] * len(lengths), list[int]()
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        fits = (row for row, end in enumerate(used) if end + lengths[index] <= limit)
        row = next(fits, len(used))
        if row == len(used):
            used.append(0)
        places[index] = (row, used[row])
        used[row] += lengths[index]
    return places, used


def pooled_prompts(states_BTD: Tensor, packed: Pack) -> Tensor:
    """Return the mean [N, D] of each prompt's states, float32.

    A prompt begins at its episode's first position and ends with the state that predicts the first
    completion token.
    """
    first_N = torch.searchsorted(
        packed.segments_M, torch.arange(int(packed.segments_M[-1]) + 1, device=states_BTD.device)
    )
    rows, ends = packed.rows_M[first_N], packed.columns_M[first_N]
    starts = ends - packed.positions_BT[rows, ends]
    spans = zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True)
    return torch.stack([states_BTD[row, a : b + 1].float().mean(0) for row, a, b in spans])

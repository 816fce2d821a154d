"""Pooling: one vector for each episode's prompt, out of the states of a pass that runs anyway.

Legend: B rows, T packed tokens, N episodes of the pack, D hidden width.
"""

import torch
from torch import Tensor

from .packing import Pack


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

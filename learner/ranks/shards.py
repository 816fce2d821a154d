"""Shards: a model's weights divided among the ranks by FSDP2, and tensors taken apart and put together.

Each rank holds its rows of every weight of a layer, of the adapter, its gradients and its moments; a
layer is whole only while it runs. Embedding and head stay whole everywhere: the head's kernel reads it
as one matrix.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from .group import Ranks


def shard_decoder(causal: Any, decoder: nn.Module, ranks: Ranks, device: str) -> None:
    """Divide a text decoder's weights among the ranks; gradients come back as sums over them."""
    mesh = init_device_mesh(device, (ranks.size,))
    kept = {causal.get_output_embeddings().weight, causal.get_input_embeddings().weight}
    for module in [*_layers(causal, decoder), decoder]:
        # The outermost too: else its own weights would stay whole after a pass, apart from those that learn.
        fully_shard(module, mesh=mesh, ignored_params=kept, reshard_after_forward=True)
        assert isinstance(module, FSDPModule), "fully_shard makes it one"
        # Each rank's loss is its share of one sum; gloo can only add.
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)


def _layers(causal: Any, decoder: nn.Module) -> Iterator[nn.Module]:
    """Return what transformers says is never to be split: a decoder's layers."""
    names = set(getattr(causal, "_no_split_modules", None) or ())
    return (module for module in decoder.modules() if type(module).__name__ in names)


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor put together from all ranks' parts, where it is divided; all ranks must ask."""
    if not isinstance(tensor, DTensor):
        return tensor
    found: Tensor = tensor.full_tensor()
    return found


def gathered(
    tensors: Mapping[str, Tensor], ranks: Ranks, *, copy: bool = False
) -> dict[str, Tensor]:
    """Return tensors by name, put together from all ranks, on the host of the rank that writes; on others none.

    All ranks must ask. They are put together one after the other, since a GPU that needs others for the whole
    of them has no room for it. What lies whole on the host is copied where `copy` says so.
    """
    found = dict[str, Tensor]()
    for name in sorted(tensors):
        one = whole(tensors[name].detach())
        if ranks.writes:
            found[name] = one.to("cpu", copy=copy).contiguous()
    return found


def number(tensor: Tensor) -> float:
    """Return a scalar, which may be a sum of the ranks' parts; all ranks must ask."""
    return float(whole(tensor))


def part_of(tensor: Tensor, like: Tensor) -> Tensor:
    """Return this rank's part of a whole tensor, as `like` is divided; of one that is, itself."""
    if not isinstance(like, DTensor) or isinstance(tensor, DTensor):
        return tensor
    # All ranks have read the same file: nothing has to be sent.
    return distribute_tensor(
        tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None
    )

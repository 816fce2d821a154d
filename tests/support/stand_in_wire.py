"""Bytes of the Tinker API as its client library writes and reads them, for the stand-in."""

from collections.abc import Sequence

import numpy as np
import torch
from tinker.proto import tinker_public_pb2 as wire

from rlwd.learner.service.port import Datum, Logprobs
from rlwd.learner.train.policy import Policy


def data_of(message: wire.ForwardBackwardRequest) -> tuple[list[Datum], list[int]]:
    """Return the data of a request, every token but the first looked at, and how many are looked at."""
    found = list[Datum]()
    for one in message.data:
        ids = [
            int(token)
            for chunk in one.model_input
            for token in np.frombuffer(chunk.encoded_text.tokens, dtype=np.int32)
        ]
        targets = np.frombuffer(one.loss_fn_inputs["target_tokens"].dense, dtype=np.int64)
        weights = np.frombuffer(one.loss_fn_inputs["weights"].dense, dtype=np.float32)
        if len(targets) != len(ids) or ids[1:] != targets[:-1].tolist():
            raise ValueError("target_tokens: not the input, one further on")
        found.append(
            Datum(
                prompt_token_ids=(ids[0],),
                token_ids=tuple(targets.tolist()),
                weights=tuple(weights.tolist()),
            )
        )
    return found, [len(one.token_ids) for one in found]


def outputs_of(logprobs: Logprobs, lengths: Sequence[int]) -> bytes:
    """Return the answer to a forward or a forward and backward pass."""
    values = np.concatenate([np.asarray(each, dtype=np.float32) for each in logprobs])
    ends = 4 * np.cumsum([0, *lengths]).astype(np.int64)
    batched = wire.BatchedTensor(
        data=values.tobytes(), offsets=ends.tobytes(), dtype=wire.DTYPE_FLOAT32
    )
    record = wire.ArrayRecord(fields={"logprobs": batched}, num_datums=len(lengths))
    made = wire.ForwardBackwardOutput(
        loss_fn_output_type="ArrayRecord", loss_fn_outputs=[record], metrics={}
    )
    written: bytes = made.SerializeToString()
    return written


def said_badly(answer: bytes, kind: str) -> bytes:
    """Return the answer to a pass without the last token of its first sequence, or without any number."""
    made = wire.ForwardBackwardOutput.FromString(answer)
    fields = made.loss_fn_outputs[0].fields
    ends = np.frombuffer(fields["logprobs"].offsets, dtype=np.int64).copy()
    if kind == "nameless":
        del fields["logprobs"]
    else:
        ends[1:] -= 4
        fields["logprobs"].offsets = ends.tobytes()
        fields["logprobs"].data = fields["logprobs"].data[4:]
    written: bytes = made.SerializeToString()
    return written


def sampled(logprobs: Sequence[float], policy: Policy, ids: Sequence[int]) -> bytes:
    """Return the answer to a request for the base model's likeliest next token, with its prompt's."""
    asked = torch.tensor([list(ids)])
    with policy.as_anchor():
        states = policy.hidden(asked, torch.arange(len(ids))[None])[0, -1]
        scores = (states @ policy.head_VD.T).log_softmax(-1)
    likeliest = int(scores.argmax())
    sequence = wire.SampledSequence(
        stop_reason=wire.STOP_REASON_LENGTH,
        tokens=np.asarray([likeliest], dtype=np.int32).tobytes(),
        logprobs=np.asarray([float(scores[likeliest])], dtype=np.float32).tobytes(),
    )
    told = np.asarray([np.nan, *logprobs], dtype=np.float32).tobytes()
    made = wire.SampleResponse(sequences=[sequence], prompt_logprobs=told)
    written: bytes = made.SerializeToString()
    return written

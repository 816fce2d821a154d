"""Tinker faults: what the client library of the Tinker API raises, in the port's words."""

import httpx
import tinker
from tinker import types
from tinker.lib.retryable_exception import RetryableException

from .port import ContentsRefused, ServiceAway, ServiceClosed

NOT_OURS = {401, 402, 403}
"""Statuses that a person has to do something about."""
CONTENTS = {400, 413, 422}
"""Statuses that say that a request would be refused again."""
FAULTS = (
    tinker.TinkerError,
    RetryableException,
    httpx.HTTPError,
    TimeoutError,
    RuntimeError,
    ValueError,
)
"""What the library raises: its own, of a run that broke off, and of answers that it cannot read."""


def in_our_words(problem: BaseException, *, beginning: bool, contents: bool = True) -> Exception:
    """Return what the port calls it, by what the service said at the bottom of it.

    While a run begins, what is not found is gone for good; later it is the run itself, lost with a
    restart of the service. A call without `contents` of ours is refused for what it is, as where an account
    may keep no more: the next batch would fare no better.
    """
    told = f"{type(problem).__name__}: {problem}"
    closed = ServiceClosed(f"learner.service: {told}")
    refused = ContentsRefused(told) if contents and not beginning else closed
    each: BaseException | None = problem
    while each is not None:
        if isinstance(each, tinker.APIStatusError):
            status = each.status_code
            if status in NOT_OURS or (beginning and status == 404):
                return closed
            if status in CONTENTS:
                return refused
            return ServiceAway(told)
        if isinstance(each, tinker.RequestFailedError):
            if each.category is types.RequestErrorCategory.User:
                return refused
            return ServiceAway(told)
        each = each.__cause__
    if type(problem) is tinker.TinkerError:
        return ServiceClosed(f"learner.service.key: {problem}")
    return ServiceAway(told)

"""Names that a model or a client wrote, as every database and the event's schema take them."""

from ...streams.events.limits import NAME_BYTES
from ..http.answers import printable


def as_name(text: str) -> str:
    """Return a name as a column holds it: no NUL, and cut at `NAME_BYTES` of UTF-8.

    >>> as_name("add\\0")
    'add\ufffd'
    """
    name = printable(text).replace("\0", "\ufffd")
    return name.encode()[:NAME_BYTES].decode(errors="ignore")

"""MessagesUser: whom `metadata.user_id` names, and in which session.

Claude Code writes both into one id: `user_…_account_…_session_UUID`, or a JSON object with a
`session_id`. Taken whole it would be another person in each session.
"""

import orjson


def user_and_session(user_id: str) -> tuple[str, str]:
    """Return the user, and the session where it names one; else an empty string.

    >>> user_and_session("ann")
    ('ann', '')
    >>> user_and_session("user_1f_account_2e_session_0b1c")
    ('user_1f_account_2e', '0b1c')
    >>> user_and_session('{"device_id":"d","account_uuid":"a","session_id":"s"}')
    ('account_uuid=a device_id=d', 's')
    """
    if user_id.startswith("{"):
        return _object(user_id)
    user, found, session = user_id.rpartition("_session_")
    return (user, session) if found and user and session else (user_id, "")


def _object(user_id: str) -> tuple[str, str]:
    try:
        told = orjson.loads(user_id)
    except orjson.JSONDecodeError:
        return user_id, ""
    session = told.pop("session_id", "")
    named = " ".join([f"{name}={value}" for name, value in sorted(told.items()) if value])
    return (named or user_id), session if isinstance(session, str) else ""

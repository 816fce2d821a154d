"""Refused: a server is there and lets us not in, which trying again does not change."""


class Refused(ConnectionError):
    """What we showed is not accepted: a password, a certificate, a way of logging in.

    The message names the key of the config. While a process runs it is as good as away, since
    somebody may be changing it just then; at a start an operator has to put it right first.
    """

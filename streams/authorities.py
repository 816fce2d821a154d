"""Authorities: whose signature the certificate of a server that is asked over TLS has to bear."""

import contextlib
import functools
import ssl
from pathlib import Path

import certifi


@functools.cache
def authorities() -> ssl.SSLContext:
    """Return the public authorities (certifi's), the system's, and those that the environment names.

    SSL_CERT_FILE and SSL_CERT_DIR, which OpenSSL reads, are how an operator adds one of his own
    (docs/install.md). Made once in a process: reading them takes 54 ms of a core.
    """
    context = ssl.create_default_context(cafile=certifi.where())
    context.set_default_verify_paths()
    # Where the environment names any, OpenSSL has read these in place of the system's.
    places = ssl.get_default_verify_paths()
    with contextlib.suppress(OSError):
        if Path(places.openssl_cafile).is_file():
            context.load_verify_locations(cafile=places.openssl_cafile)
    with contextlib.suppress(OSError):
        if Path(places.openssl_capath).is_dir():
            context.load_verify_locations(capath=places.openssl_capath)
    return context

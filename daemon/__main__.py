"""`python -m rlwd.daemon` is `rlwd`."""

from .cli import main

main()

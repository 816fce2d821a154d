"""rlwd: a daemon that keeps a served language model learning from the work people do with it."""

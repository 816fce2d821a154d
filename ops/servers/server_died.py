"""Server died: what is raised where a child ended, or never became healthy. Importable without a client."""


class ServerDied(RuntimeError):
    """A server ended, or never became healthy: a line that says so, then its last ones."""

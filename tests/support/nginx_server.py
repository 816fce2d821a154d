"""NginxServer: Debian's nginx as a reverse proxy that asks for a password and names the user."""

import functools
import os
import socket
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from rlwd.ops.servers.process import LOOPBACK, Server, free_port

FETCH = Path(__file__).with_name("fetch_nginx.sh")
CONFIG = """\
daemon off;
user {user};
worker_processes 1;
error_log stderr warn;
pid {folder}/nginx.pid;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {host}:{port};
    auth_basic rlwd;
    auth_basic_user_file {folder}/users;
    location / {{
      proxy_pass http://{host}:{behind};
      proxy_bind {source};
      proxy_set_header Host $host;
      proxy_set_header Authorization "";
      proxy_set_header X-Forwarded-User $remote_user;
      proxy_set_header X-Forwarded-Proto https;
    }}
  }}
}}
"""
"""As docs/pages.md shows it, but for TLS."""


@functools.cache
def _fetched() -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", str(FETCH)], capture_output=True, text=True, check=False)


class NginxServer(Server):
    """One proxy on a free port; skips the test by name where nginx cannot be had."""

    def __init__(self, folder: Path, behind: int, source: str, people: dict[str, str]) -> None:
        """`source` is the address that it asks from, `people` their passwords by name."""
        found = _fetched()
        if found.returncode:
            pytest.skip(f"nginx cannot be had: {found.stderr.strip().splitlines()[-1]}")
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        users = [f"{name}:{{PLAIN}}{password}" for name, password in people.items()]
        (folder / "users").write_text("\n".join(users) + "\n")
        config = folder / "nginx.conf"
        config.write_text(
            CONFIG.format(
                folder=folder,
                user="root" if os.geteuid() == 0 else "nobody",
                host=LOOPBACK,
                port=self.port,
                behind=behind,
                source=source,
            )
        )
        super().__init__(
            [
                found.stdout.strip().splitlines()[-1],
                "-e",
                "stderr",
                "-p",
                str(folder),
                "-c",
                str(config),
            ],
            name="nginx",
            log=folder / "nginx.log",
            healthy=self._listens,
        )

    def _listens(self) -> bool:
        with closing(socket.socket()) as one:
            return one.connect_ex((LOOPBACK, self.port)) == 0

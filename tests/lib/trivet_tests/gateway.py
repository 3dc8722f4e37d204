"""The gateway as a process of its own, with the test as its parent."""

import http.client
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from trivet.settings import Settings, settings_to_json
from trivet.wiring.credential_files import read_credentials
from trivet_tests.peers import SECRET


class GatewayProcess:
    """What the gateway's parent holds: the listening socket, and the process while it runs."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.home = home
        self.settings = Settings(home=home, **settings)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def socket_path(self) -> Path:
        """Where its supervisor talks to it."""
        return self.home / "run" / "gateway.sock"

    def start_process(self) -> None:
        """Start it, as the platform does."""
        with (self.home / "stderr").open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trivet.wiring.child", "gateway"],
                stdin=subprocess.PIPE,
                stderr=stderr,
                pass_fds=[self.listener.fileno()],
            )
        config = {
            "settings": settings_to_json(self.settings),
            "listeners": {"http": self.listener.fileno()},
            "lifeline": None,
            "control_url": "",
            "infer_url": "",
            "parent": os.getpid(),
            "anyone": False,
            "secret": SECRET,
            "credentials": read_credentials(self.settings, {}, first=True).to_json(),
        }
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(config).encode() + b"\n")
        self.process.stdin.close()

    def connect(self) -> http.client.HTTPConnection:
        """A connection to it."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def said(self) -> str:
        """What it wrote to standard error."""
        return (self.home / "stderr").read_text(errors="replace")

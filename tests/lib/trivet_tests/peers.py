"""The secret of the platforms whose processes a test starts itself."""

from pathlib import Path

from trivet.disk.peers import Peers

SECRET = "0f" * 32


def peers_in(run: Path) -> Peers:
    """How their sockets in a folder are reached."""
    return Peers(folder=run, secret=SECRET)

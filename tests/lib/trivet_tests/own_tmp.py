"""Whether workers on this machine get a `/tmp` of their own."""

import subprocess
import sys

from trivet_worker.sandbox import landlock_abi

__all__ = ["OWN_TMP"]

_NEW_NAMESPACE = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x20000))"
# Root may mount, unless a container took that away.
OWN_TMP = (
    landlock_abi() > 0
    and subprocess.run([sys.executable, "-c", _NEW_NAMESPACE], capture_output=True, check=False).returncode == 0
)

"""A program of its own: it runs another program, restricted, and ends it with all that it started when we end.

It imports nothing of an environment: `python -I -S guard.py <restrictions> <program> <arguments>`; see `trivet.envs.processes`.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any


def main() -> None:
    """Run the program and hand on its exit code; standard input closes when our parent ends."""
    restrictions = json.loads(sys.argv[1])
    # What a build installs is read by workers, which may have users of their own. The folder above keeps all others out.
    os.umask(0o022)
    sys.path.insert(0, restrictions["code"])
    from trivet_worker.guardian import end_children
    from trivet_worker.process import become_subreaper

    become_subreaper()
    child = subprocess.Popen(
        sys.argv[2:],
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: _restrict(restrictions),  # noqa: PLW1509 - there are no threads yet
    )

    def end_with_parent() -> None:
        os.read(0, 1)
        end_children()
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=end_with_parent, daemon=True).start()
    code = child.wait()
    end_children()
    os._exit(code if code >= 0 else 128 - code)


def _restrict(restrictions: "dict[str, Any]") -> None:
    from trivet_worker.sandbox import Grants, allow_programs, enter, give

    if restrictions["programs"] is not None:
        allow_programs(restrictions["programs"])
    space = restrictions["space"]
    if space is not None:
        give(space)
        enter(
            Grants(
                read=tuple(restrictions["read"]),
                hidden=restrictions["hidden"],
                scratch=space,
                folder=space,
                network=True,
            )
        )


if __name__ == "__main__":
    main()

"""Facts about other processes, from the kernel."""

from pathlib import Path

__all__ = ["started_at"]


def started_at(pid: int) -> int | None:
    """When a process started, in the kernel's clock ticks; None if it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The command's name, in brackets, may hold anything. After it: state (field 3) ... start time (field 22).
    fields = stat.rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])

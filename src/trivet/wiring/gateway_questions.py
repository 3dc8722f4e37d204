"""Questions of the control API to the gateway, over the socket between the two: each has a time limit."""

import contextlib
import os
import time

import msgspec

from trivet.disk.peers import Peers
from trivet.domain.decoders import decoder
from trivet.domain.encoding import decode, encode
from trivet.domain.routes import AskStatistics, FlushLogs, GatewayMessage, StatisticsAnswer
from trivet.domain.statistics import PipelineStatistics
from trivet.errors import Unavailable

__all__ = ["flush_logs", "gateway_statistics"]

FLUSH_S = 10.0
STATISTICS_S = 1.0


def flush_logs(peers: Peers, *, within_s: float = FLUSH_S) -> None:
    """Ask the gateway to write its log to disk.

    Raises:
        Unavailable: it is running and did not write it in time.
    """
    started = time.monotonic()
    token = _token()
    answer = _ask_gateway(peers, FlushLogs(token=token), token=token, within_s=within_s)
    if answer is None and time.monotonic() >= started + within_s:
        raise Unavailable(
            "the newest rows of the inference log are not on the disk yet",
            why=f"the gateway did not write them within {within_s:g} s",
            fix="try again; if it stays so, look at the gateway's log and at the disk",
            reason="log_not_written",
        )


def gateway_statistics(peers: Peers) -> tuple[PipelineStatistics, ...] | None:
    """What the gateway measured; None if it does not answer."""
    token = _token()
    answer = _ask_gateway(peers, AskStatistics(token=token), token=token, within_s=STATISTICS_S)
    return answer.pipelines if isinstance(answer, StatisticsAnswer) else None


def _token() -> str:
    return f"{os.getpid()}-{time.monotonic_ns()}"


class _Head(msgspec.Struct):
    """What all answers to a question have; reports, which are large, have no token."""

    token: str = ""


def _ask_gateway(
    peers: Peers, question: FlushLogs | AskStatistics, *, token: str, within_s: float
) -> GatewayMessage | None:
    """The gateway's answer with this token; None if it does not run, or does not answer in time."""
    deadline = time.monotonic() + within_s
    rest = b""
    with contextlib.suppress(OSError, msgspec.DecodeError), peers.connected("gateway", timeout_s=within_s) as peer:
        peer.sendall(encode(question) + b"\n")
        while (left_s := deadline - time.monotonic()) > 0:
            # A limit on each piece alone would let a slow sender continue for ever.
            peer.settimeout(left_s)
            piece = peer.recv(2**16)
            if not piece:
                return None
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if decoder(_Head).decode(line).token == token:
                    return decode(line, GatewayMessage)  # type: ignore[arg-type]
    return None

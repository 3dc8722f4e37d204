"""The errors of models with their tracebacks, by request id, for the models' owner. Requests that are answered pay nothing."""

import time
from typing import Final

from trivet.errors import TrivetError
from trivet.gateway.json_lines import JsonLines
from trivet.gateway.live_pipeline import LivePipeline

__all__ = ["Failures"]

MOST_TEXT: Final = 2000
MOST_TRACE: Final = 4000


class Failures:
    """Writes each error that has a traceback.

    Args:
        lines: where the records go.
    """

    def __init__(self, lines: JsonLines) -> None:
        self._lines = lines

    def add(self, error: BaseException, *, request_id: bytes, live: LivePipeline) -> None:
        """Write an error, if a model raised it. Waits for nothing.

        Args:
            error: what the request is answered with.
            request_id: of the request.
            live: what the request was for.
        """
        if not isinstance(error, TrivetError) or not error.trace:
            return
        self._lines.add(
            {
                "at_s": time.time(),
                "request_id": request_id.decode(),
                "pipeline": live.pipeline.name,
                "versions": [step.version for step in live.pipeline.steps],
                "error": error.message[:MOST_TEXT],
                "trace": error.trace[-MOST_TRACE:],
            }
        )

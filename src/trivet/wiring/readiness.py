"""Whether a platform answers, as its parent asks while it starts."""

import http.client
import json
import ssl

__all__ = ["is_ready"]


def is_ready(url: str) -> bool:
    """Whether the control API reports that the supervisor and the gateway are ready."""
    scheme, _, address = url.partition("://")
    connection: http.client.HTTPConnection
    if scheme == "https":
        # The request stays on this machine and has no secret in it.
        connection = http.client.HTTPSConnection(address, timeout=2, context=ssl._create_unverified_context())  # noqa: S323, SLF001
    else:
        connection = http.client.HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        if answer.status == 200:
            return True
        # Predictions are answered also while the database is read-only, or a package is missing.
        parts = json.loads(answer.read())
        return {parts.get("supervisor"), parts.get("gateway")} == {"ready"}
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        connection.close()

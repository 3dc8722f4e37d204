"""What a gateway measured of a pipeline in the last minutes."""

import msgspec

__all__ = ["PipelineStatistics", "RequestError"]


class RequestError(msgspec.Struct, frozen=True, kw_only=True):
    """An error that a request got although nothing was wrong with it.

    Attributes:
        at_s: when, in seconds since 1970.
        text: its first line, cut.
    """

    at_s: float
    text: str


class PipelineStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The requests of one pipeline, all its versions together.

    Attributes:
        workspace_id: 0 where there are no workspaces.
        over_s: the time that the numbers are about: five minutes, or less for a pipeline that is younger.
        requests_per_s: answered requests, errors included.
        error_rate: the share of them that the model or the platform failed to answer.
        refused_rate: the share of them with a mistake of the client.
        p50_s, p99_s: half of the answers, and 99 of 100, took no longer, from the end of a request's body. They are estimates
            from the buckets of a histogram; None without answers.
        in_flight: requests that wait or are being answered now.
        last_error: since the pipeline was deployed.
    """

    pipeline: str
    workspace_id: int
    over_s: float
    requests_per_s: float
    error_rate: float
    refused_rate: float
    p50_s: float | None
    p99_s: float | None
    in_flight: int
    last_error: RequestError | None = None

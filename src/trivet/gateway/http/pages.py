"""What a gateway reports of itself: models, pipelines, health, readiness, descriptions."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from trivet.gateway.doors.door import Page, PageMaker
from trivet.gateway.doors.reference import pipeline_entry, pipeline_status
from trivet.gateway.doors.reference_openapi import describe_all
from trivet.gateway.http.docs_page import docs_page, locked_page
from trivet.gateway.http.metrics_page import METRICS_TYPE, PrometheusPage
from trivet.gateway.pipelines import Phase, Pipelines

__all__ = ["Pages"]

JSON: Final = b"application/json"
HTML: Final = b"text/html; charset=utf-8"


class Pages:
    """The pages that have one address each.

    Args:
        pipelines: what they are about.
        url: of the server.
        needs_token: whether requests must carry a token.

    Attributes:
        by_path: what makes each of them.
        public: those that a request without a token gets, and less of them.
    """

    def __init__(self, pipelines: Pipelines, *, url: str, needs_token: bool) -> None:
        self._pipelines = pipelines
        self._url = url
        self._needs_token = needs_token
        self._prometheus = PrometheusPage(pipelines.metrics)
        self.by_path: Mapping[str, PageMaker] = {
            "/models": self._models,
            "/pipelines": self._entries,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/openapi.json": self._openapi,
            "/docs": self._docs,
        }
        self.public: Mapping[str, PageMaker] = {
            "/healthz": self._healthz,
            "/readyz": self._ready_or_not,
            "/docs": self._locked_docs,
        }

    async def _models(self) -> Page:
        """Every model version that answers, once, with the pipelines that it is a step of."""
        models: dict[tuple[str, str], dict[str, Any]] = {}
        for live in self._pipelines:
            for step in live.pipeline.steps:
                known = models.setdefault(
                    (step.name, step.version),
                    {
                        "name": step.name,
                        "version": step.version,
                        "sha": step.sha,
                        "status": pipeline_status(live, phase=self._pipelines.phase),
                        "framework": step.framework,
                        "runtime": step.runtime,
                        "pipelines": [],
                    },
                )
                known["pipelines"].append(live.pipeline.name)
        return _json({"models": list(models.values())})

    async def _entries(self) -> Page:
        phase = self._pipelines.phase
        return _json({"pipelines": [pipeline_entry(live, phase=phase) for live in self._pipelines]})

    async def _healthz(self) -> Page:
        return _json({"status": "alive"})

    async def _readyz(self) -> Page:
        """Whether a pipeline answers its canned row, and which do not. One that does not leaves the others their requests."""
        phase = self._pipelines.phase
        if phase is not Phase.SERVING:
            return _json({"status": phase.value}, status=503)
        among = len(list(self._pipelines))
        unready = await self._pipelines.unready()
        if not unready:
            return _json({"status": "ready"})
        reasons = {live.pipeline.name: error.message for live, error in unready.items()}
        if len(unready) < among:
            return _json({"status": "ready", "pipelines": reasons})
        first = next(iter(unready.values()))
        body: dict[str, Any] = {"status": "not ready", "error": first.message, "reason": first.reason}
        if among > 1:
            body["pipelines"] = reasons
        return _json(body, status=503)

    async def _ready_or_not(self) -> Page:
        """Readiness for a request that may not ask for predictions: no names and no reasons."""
        page = await self._readyz()
        return _json({"status": orjson.loads(page.content)["status"]}, status=page.status)

    async def _metrics(self) -> Page:
        return Page(200, self._prometheus.text(), METRICS_TYPE)

    async def _openapi(self) -> Page:
        return _json(describe_all([live.pipeline for live in self._pipelines], url=self._url))

    async def _docs(self) -> Page:
        pipelines = [live.pipeline for live in self._pipelines]
        return Page(200, docs_page(pipelines, url=self._url, needs_token=self._needs_token), HTML)

    async def _locked_docs(self) -> Page:
        return Page(401, locked_page(), HTML)


def _json(value: Any, *, status: int = 200) -> Page:
    return Page(status, orjson.dumps(value), JSON)

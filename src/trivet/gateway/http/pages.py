"""What a gateway says of itself: models, pipelines, readiness, descriptions."""

import asyncio
from collections.abc import Iterable
from typing import Any

import orjson

from trivet.errors import TrivetError
from trivet.gateway.pipelines import Place
from trivet.gateway.served_pipeline import InferRoute

__all__ = ["Page", "models_page", "pipeline_status", "pipelines_page", "readiness_page", "said"]

Page = tuple[int, bytes, bytes]
"""A status, a body, a content type."""

JSON = b"application/json"


def said(value: Any, *, status: int = 200) -> Page:
    """A value as a page."""
    return status, orjson.dumps(value), JSON


def pipeline_status(route: InferRoute, *, stopping: bool) -> str:
    """A pipeline's status, in the reference's words."""
    if stopping:
        return "Stopping"
    return "Running" if route.pipeline.runner.capacity else "Starting"


def models_page(routes: Iterable[InferRoute], *, stopping: bool) -> Page:
    """Every model version that answers, once, with the pipelines that it is a step of."""
    models: dict[tuple[str, str], dict[str, Any]] = {}
    for route in routes:
        for step in route.pipeline.steps:
            known = models.setdefault(
                (step.name, step.version),
                {
                    "name": step.name,
                    "version": step.version,
                    "sha": step.sha,
                    "status": pipeline_status(route, stopping=stopping),
                    "framework": step.framework,
                    "runtime": step.runtime,
                    "pipelines": [],
                },
            )
            known["pipelines"].append(route.pipeline.name)
    return said({"models": list(models.values())})


def pipelines_page(routes: Iterable[InferRoute], *, stopping: bool) -> Page:
    """Every pipeline that answers, and where."""
    return said({"pipelines": [pipeline_entry(route, stopping=stopping) for route in routes]})


def pipeline_entry(route: InferRoute, *, stopping: bool) -> dict[str, Any]:
    """A pipeline in the list of them."""
    pipeline = route.pipeline
    entry: dict[str, Any] = {
        "id": pipeline.name,
        "version": pipeline.version,
        "status": pipeline_status(route, stopping=stopping),
    }
    if pipeline.deployment_id is not None:
        entry |= {"deployment_id": pipeline.deployment_id, "url": Place.of(pipeline).full_path}
    return entry


async def readiness_page(routes: Iterable[InferRoute], *, detailed: bool) -> Page:
    """Whether each pipeline answers its canned row, and why not.

    Args:
        routes: the pipelines.
        detailed: name them; those who may not ask for predictions are told nothing.
    """
    asked = list(routes)
    outcomes = await asyncio.gather(*(route.pipeline.probe.check() for route in asked))
    refusals = {route: error for route, error in zip(asked, outcomes, strict=True) if error is not None}
    if not refusals:
        return said({"status": "ready"})
    if not detailed:
        return said({"status": "not ready"}, status=503)
    first: TrivetError = next(iter(refusals.values()))
    body: dict[str, Any] = {"status": "not ready", "error": first.message, "reason": first.reason}
    if len(asked) > 1:
        body["pipelines"] = {route.pipeline.name: error.message for route, error in refusals.items()}
    return said(body, status=503)

"""Routes about the platform itself."""

import platform
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from trivet import __version__
from trivet.control.context import Control

__all__ = ["platform_routes"]


def platform_routes(control: Control, token: Any) -> APIRouter:
    """Health, readiness, and what runs here. What is public says nothing of models, pipelines or rows."""
    routes = APIRouter(tags=["Platform"])

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process runs."""
        return {"status": "alive"}

    @routes.get("/readyz", responses={503: {"description": "One does not; the body says which."}})
    def readyz() -> JSONResponse:
        """Whether database, supervisor and gateway answer; 503 where one does not."""
        silent = control.probe()
        parts = {part: silent.get(part, "ready") for part in ("database", "supervisor", "gateway")}
        said = {"status": "not ready" if silent else "ready", **parts}
        return JSONResponse(said, status_code=503 if silent else 200)

    @routes.get("/v1/platform", dependencies=[Depends(token)])
    def get_platform() -> dict[str, Any]:
        """What runs here, and where predictions are answered."""
        return {
            "version": __version__,
            "home": str(control.settings.home),
            "infer_url": control.infer_url,
            "database": control.catalog.database,
            "python": platform.python_version(),
        }

    return routes

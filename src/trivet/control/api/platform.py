"""Routes about the platform itself."""

from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from trivet.control.context import Control
from trivet.control.http.access import CurrentCaller
from trivet.control.use_cases import platform

__all__ = ["platform_routes"]


def platform_routes(control: Control, token: Any) -> APIRouter:
    """Health, readiness, and facts about the platform. Public routes reveal nothing about models, pipelines or rows."""
    routes = APIRouter(tags=["Platform"])

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process runs."""
        return {"status": "alive"}

    @routes.get("/readyz", responses={503: {"description": "One does not answer; the body says which."}})
    def readyz() -> JSONResponse:
        """Whether database, supervisor and gateway answer, and the packages of deployed models are stored; 503 if not."""
        silent = control.probe()
        parts = {part: silent.get(part, "ready") for part in ("database", "packages", "supervisor", "gateway")}
        answer = {"status": "not ready" if silent else "ready", **parts}
        return JSONResponse(answer, status_code=503 if silent else 200)

    @routes.get("/v1/platform", dependencies=[Depends(token)])
    def get_platform(caller: CurrentCaller) -> dict[str, Any]:
        """Version, home, database, and the address for predictions."""
        facts = platform.get_platform(control, caller)
        return {
            "version": facts.version,
            "home": str(facts.home),
            "infer_url": facts.infer_url,
            "database": facts.database,
            "python": facts.python,
        }

    return routes

"""The control API as an application: routes, errors, access."""

from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.security import HTTPBearer

from trivet import __version__
from trivet.control.api.events import event_routes
from trivet.control.api.models import model_routes
from trivet.control.api.pipelines import pipeline_routes
from trivet.control.api.platform import platform_routes
from trivet.control.api.status import status_routes
from trivet.control.api.tags import tag_routes
from trivet.control.api.workspaces import workspace_routes
from trivet.control.context import Control
from trivet.control.http.access import Access, App
from trivet.control.http.body_reading import JsonBodies
from trivet.control.http.docs_page import DOCS_POLICY, docs_page
from trivet.control.http.error_docs import with_errors
from trivet.control.http.errors import add_error_answers
from trivet.control.reference_api import absent_routes, mlops_routes
from trivet.domain.access import Callers
from trivet.domain.held_bytes import HeldBytes
from trivet.domain.own_hosts import OwnHosts

__all__ = ["build_app", "openapi_document", "routes_of"]

TOKEN = HTTPBearer(auto_error=False, description="The token in the platform's home.")
"""Documents in the API's description that a token is required. `Access` checks it."""


def build_app(control: Control, *, callers: Callers, hosts: OwnHosts, held: HeldBytes | None = None) -> App:
    """The whole control API, access included.

    Args:
        control: the parts.
        callers: who has which token.
        hosts: what requests may name.
        held: what all requests of the process hold; by default without a limit.
    """
    routes = JsonBodies(routes_of(control), within_s=control.settings.client_timeout_s, held=held)
    return Access(routes, callers=callers, hosts=hosts)


def openapi_document() -> dict[str, Any]:
    """The content of `/openapi.json`, without a platform: for documentation."""
    nothing: Any = None
    return routes_of(nothing).openapi()


def routes_of(control: Control) -> FastAPI:
    """Every route, without the check of a token: only the application of `build_app` may be served."""
    app = FastAPI(
        title="Trivet's control API",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Of the server that the document is from.
        servers=[{"url": "/"}],
    )
    add_error_answers(app)

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        url = str(request.base_url).rstrip("/")
        return HTMLResponse(docs_page(app.openapi(), url=url), headers={"content-security-policy": DOCS_POLICY})

    with_token = [Depends(TOKEN)]
    app.include_router(platform_routes(control, TOKEN))
    app.include_router(workspace_routes(control), prefix="/v1", dependencies=with_token, tags=["Workspaces"])
    app.include_router(model_routes(control), prefix="/v1", dependencies=with_token, tags=["Models"])
    app.include_router(pipeline_routes(control), prefix="/v1", dependencies=with_token, tags=["Pipelines"])
    app.include_router(status_routes(control), prefix="/v1", dependencies=with_token, tags=["Platform"])
    app.include_router(tag_routes(control), prefix="/v1", dependencies=with_token, tags=["Tags"])
    app.include_router(event_routes(control), prefix="/v1", dependencies=with_token, tags=["Platform"])
    app.include_router(
        mlops_routes(control), prefix="/v1/api", dependencies=with_token, tags=["The reference's MLOps API"]
    )
    app.include_router(absent_routes(), dependencies=with_token)
    described = app.openapi

    def openapi() -> dict[str, Any]:
        return with_errors(described())

    # FastAPI documents this as the way to extend its description.
    app.openapi = openapi  # type: ignore[method-assign]
    return app

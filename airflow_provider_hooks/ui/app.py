# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The application that Airflow's API server mounts: the API of the pages, and the JavaScript of the pages.

Every route needs a user who is logged in. Errors of the product become answers with one clear sentence.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.core_api.security import get_user
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from airflow_provider_hooks import __version__
from airflow_provider_hooks.exceptions import (
    ClaimLostError,
    LedgerError,
    RecordError,
    ServiceHookError,
    StateStoreError,
    ValidationError,
)
from airflow_provider_hooks.ui import deliveries, endpoints

if TYPE_CHECKING:
    from collections.abc import Mapping

_FOLDER = Path(__file__).parent / "page"
_FILES: Mapping[str, bytes] = MappingProxyType({one.name: one.read_bytes() for one in _FOLDER.glob("*.js")})
_ETAGS: Mapping[str, str] = MappingProxyType(
    {name: f'"{hashlib.sha256(content).hexdigest()}"' for name, content in _FILES.items()}
)
_JSON = "application/json"
_STATUS_OF: Mapping[type[ServiceHookError], int] = MappingProxyType(
    {ValidationError: 400, ClaimLostError: 409, RecordError: 409, LedgerError: 503, StateStoreError: 503}
)
_FAILED, _NOT_FOUND, _NOT_MODIFIED, _UNSUPPORTED = 500, 404, 304, 415

_pages = APIRouter(tags=["Pages"])


def build_app() -> FastAPI:
    """Return the application; its paths begin below the prefix that the plugin mounts it at."""
    app = FastAPI(
        title="airflow-provider-hooks",
        version=__version__,
        description="Deliveries and endpoints of service hooks, for the pages in Airflow's user interface.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(get_user), Depends(_require_json)],
    )
    for router in (deliveries.router, endpoints.router):
        app.include_router(router, prefix="/api")
    app.include_router(_pages)
    app.add_exception_handler(ServiceHookError, _answer_error)
    return app


def _require_json(request: Request) -> None:
    """Refuse a change that is not JSON: a page of another site could send it with the user's session."""
    if request.method == "POST" and request.headers.get("content-type", "").partition(";")[0].strip() != _JSON:
        raise HTTPException(_UNSUPPORTED, f"The content type must be {_JSON}.")


@_pages.get("/api/openapi.json", include_in_schema=False)
def show_openapi(request: Request) -> dict[str, Any]:
    """Return the description of the API."""
    app: FastAPI = request.app
    return app.openapi()


@_pages.get("/page/{version}/{name}", include_in_schema=False)
def show_file(request: Request, version: str, name: str) -> Response:  # noqa: ARG001  (an upgrade changes the address)
    """Return a file of the pages; a browser asks whether it has changed."""
    if name not in _FILES:
        raise HTTPException(_NOT_FOUND)
    headers = {
        "ETag": _ETAGS[name],
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    if request.headers.get("if-none-match") == _ETAGS[name]:
        return Response(status_code=_NOT_MODIFIED, headers=headers)
    return Response(_FILES[name], media_type="text/javascript", headers=headers)


async def _answer_error(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001  (as FastAPI calls it)
    status = next((status for kind, status in _STATUS_OF.items() if isinstance(error, kind)), _FAILED)
    return JSONResponse({"detail": str(error)}, status_code=status)

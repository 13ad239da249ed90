"""Errors of the API as RFC 9457 problem documents. Each says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from mediaserverd.recorder.store import StoreFault

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
RETRY_S = "5"


class Problem(Exception):
    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.members = members

    def response(self) -> Response:
        body = {"title": HTTPStatus(self.status).phrase, "status": self.status, "detail": self.detail, **self.members}
        return JSONResponse(body, self.status, headers=self.headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(SQLAlchemyError, _catalogue)
    app.add_exception_handler(StoreFault, _store)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _bug)


async def _problem(_: Request, fault: Exception) -> Response:
    assert isinstance(fault, Problem)
    return fault.response()


async def _http(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    details = {
        404: f"there is nothing at {request.url.path}; /docs lists what there is",
        405: f"{request.method} is not possible at {request.url.path}; the Allow field says what is",
    }
    return Problem(fault.status_code, details.get(fault.status_code, str(fault.detail)), fault.headers).response()


async def _validation(_: Request, fault: Exception) -> Response:
    assert isinstance(fault, RequestValidationError)
    faults = [f"{'.'.join(map(str, error['loc'][1:]))}: {error['msg']}" for error in fault.errors()]
    return Problem(422, f"the request cannot be understood: {'; '.join(faults)}", faults=faults).response()


async def _catalogue(request: Request, fault: Exception) -> Response:
    log.error("catalogue_unusable", path=request.url.path, fault=str(fault).partition("\n")[0])
    detail = "the catalogue cannot be used at present; try again later, and see the recorder's log"
    return Problem(503, detail, {"Retry-After": RETRY_S}).response()


async def _store(request: Request, fault: Exception) -> Response:
    log.error("store_unusable", path=request.url.path, fault=str(fault))
    detail = "the store cannot be used at present; try again later, and see the recorder's log"
    return Problem(503, detail, {"Retry-After": RETRY_S}).response()


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it; who went away in the middle of a request is no fault of ours


async def _bug(request: Request, fault: Exception) -> Response:
    log.error("request_failed", path=request.url.path, exc_info=fault)
    return Problem(500, "this is a fault of the recorder; its log says more").response()

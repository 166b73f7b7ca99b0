"""The server of the page: rows by their number, to this machine alone."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from echopair.pipeline.errors import UserError
from echopair.pipeline.explore.labels import LabelError
from echopair.pipeline.explore.page import STATIC_FOLDER

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from echopair.pipeline.explore.explorer import Explorer

# There is no authentication, so only this machine may reach it.
HOST = "127.0.0.1"
# A name of another site that leads to this machine (DNS rebinding) is none of these.
HOST_NAMES = (HOST, "localhost")
GRACE_SECONDS = 2


def bound_socket(port: int) -> socket.socket:
    """A socket on a port of this machine, before any long work.

    Raises:
        UserError: the port is in use, or may not be used.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        raise UserError(
            f"--port={port}: it cannot be used on {HOST} ({error.strerror}); choose another one by --port"
        ) from error
    return listening


def serve(app: Starlette, listening: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM, which is then raised again."""
    import uvicorn

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_SECONDS
    )
    uvicorn.Server(config).run(sockets=[listening])


def make_app(explorer: Explorer) -> Starlette:
    """The application: the page, its files, and what it asks for."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    def row_of(value: Any) -> int:
        if not isinstance(value, int) or not 0 <= value < len(explorer.table):
            raise HTTPException(404, f"the table has no row {value}")
        return value

    async def sent(request: Request) -> dict[str, Any]:
        # Pages of other sites may send forms and texts to this machine, and no JSON without asking.
        if request.headers.get("content-type") != "application/json":
            raise HTTPException(415, "send JSON")
        try:
            content = await request.json()
        except ValueError as error:
            raise HTTPException(400, "this is no JSON") from error
        if not isinstance(content, dict) or not isinstance(content.get("rows"), list):
            raise HTTPException(400, "send rows")
        return content | {"rows": [row_of(one) for one in content["rows"]]}

    def page(_: Request) -> Response:
        return HTMLResponse(explorer.page(), headers={"X-Frame-Options": "DENY"})

    def map_of_rows(_: Request) -> Response:
        return JSONResponse(explorer.map())

    def row(request: Request) -> Response:
        return JSONResponse(explorer.shown(row_of(request.path_params["row"])))

    def similarities(request: Request) -> Response:
        return JSONResponse(explorer.similarities(row_of(request.path_params["row"])))

    def suggestions(_: Request) -> Response:
        return JSONResponse(explorer.suggestions())

    async def labels(request: Request) -> Response:
        content = await sent(request)
        explorer.labels.give(content["rows"], str(content.get("label", "")))
        return JSONResponse({"undoable": explorer.labels.undoable})

    async def undo(request: Request) -> Response:
        await sent(request)  # from this page alone; the rows are not used
        return JSONResponse({"given": explorer.labels.undo(), "undoable": explorer.labels.undoable})

    def labels_file(_: Request) -> Response:
        return FileResponse(explorer.labels.file, media_type="text/csv")

    async def classifier(request: Request) -> Response:
        await sent(request)
        return JSONResponse(await run_in_threadpool(explorer.save_classifier))

    async def export(request: Request) -> Response:
        return PlainTextResponse(explorer.labels.csv_of((await sent(request))["rows"]), media_type="text/csv")

    def refused(_: Request, error: Exception) -> Response:
        return PlainTextResponse(str(error), status_code=400 if isinstance(error, LabelError) else 500)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/map", map_of_rows),
            Route("/rows/{row:int}", row),
            Route("/rows/{row:int}/similarities", similarities),
            Route("/suggestions", suggestions),
            Route("/labels", labels, methods=["POST"]),
            Route("/labels.csv", labels_file),
            Route("/undo", undo, methods=["POST"]),
            Route("/classifier", classifier, methods=["POST"]),
            Route("/export", export, methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC_FOLDER)),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(HOST_NAMES), www_redirect=False)],
        exception_handlers={LabelError: refused, UserError: refused, OSError: refused},
    )

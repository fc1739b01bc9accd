"""Predictions over HTTP: POST /predict, GET /health. What a request says is text, never a place on the disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from madx.config import InputError, RunError
from madx.prediction.predictor import Labelled, Predictor
from madx.prediction.records import Record
from madx.prediction.writers import as_row

if TYPE_CHECKING:
    from fastapi import FastAPI

LARGEST = 1 << 20  # bytes of a request
MOST = 256  # items of a request
TOGETHER = 64  # requests that are computed at once
WAITING = 1000  # requests that wait; more are turned away


class Asked(BaseModel):
    """`items`: texts, or rows as JSON lines have them. `language`: of items that don't name their own."""

    model_config = ConfigDict(strict=True, extra="forbid")

    items: Annotated[list[str | dict[str, Any]], Field(min_length=1, max_length=MOST)]
    language: Annotated[str | None, Field(max_length=100)] = None
    pretokenized: bool = False


class Waiting:
    """A request's records, and who waits for them."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        self.answer: asyncio.Future[list[Labelled]] = asyncio.get_running_loop().create_future()


class Together:
    """Computes what is there when the model is free, all of it at once: a busy server has large batches."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.queue: asyncio.Queue[Waiting] = asyncio.Queue(WAITING)

    async def label(self, records: list[Record]) -> list[Labelled]:
        """Raises asyncio.QueueFull where too many wait."""
        waiting = Waiting(records)
        self.queue.put_nowait(waiting)
        return await waiting.answer

    async def work(self) -> None:
        while True:
            those = [await self.queue.get()]
            while len(those) < TOGETHER and not self.queue.empty():
                those.append(self.queue.get_nowait())
            records = [record for waiting in those for record in waiting.records]
            try:
                labelled = iter(await asyncio.to_thread(self.predictor.label, records, None))
            except Exception as error:
                for waiting in those:
                    if not waiting.answer.done():
                        waiting.answer.set_exception(error)
                continue
            for waiting in those:
                own = [next(labelled) for _ in waiting.records]
                if not waiting.answer.done():  # else its client has gone
                    waiting.answer.set_result(own)


def application(predictor: Predictor) -> FastAPI:
    """The FastAPI application of a loaded predictor."""
    from fastapi import FastAPI, HTTPException, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse

    together = Together(predictor)

    @asynccontextmanager
    async def working(_: FastAPI) -> AsyncIterator[None]:
        worker = asyncio.create_task(together.work())
        yield
        worker.cancel()

    app = FastAPI(title="madx", lifespan=working, docs_url=None, redoc_url=None)

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {"status": "ok", "model": predictor.chosen.note, "languages": sorted(predictor.chosen.languages)}

    async def predict(request: Request) -> list[dict[str, Any]]:
        asked = Asked.model_validate_json(await _body(request))
        reader = predictor.reader(asked.pretokenized)
        records = [reader.record(item, f"item {number}") for number, item in enumerate(asked.items, 1)]
        records = [r if r.language else r._replace(language=asked.language) for r in records]
        predictor.check(records, None)
        try:
            labelled = await together.label(records)
        except asyncio.QueueFull:
            raise HTTPException(503, "too many requests wait; try again") from None
        return [as_row(one, predictor.chosen.task) for one in labelled]

    async def _body(request: Request) -> bytes:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LARGEST:
                raise HTTPException(413, f"more than {LARGEST} bytes; send several requests")
        return body

    predict.__annotations__["request"] = Request
    app.post("/predict")(predict)

    def refused(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": " ".join(str(error).split())[:1000]}, status_code=422)

    def failed(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "the model failed; the server's log says why"}, status_code=500)

    for kind in (InputError, RequestValidationError, ValueError):
        app.add_exception_handler(kind, refused)
    app.add_exception_handler(RunError, failed)
    return app

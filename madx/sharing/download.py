"""One file from a web server that may be slow, broken or hostile: limited in bytes and in time, whole or not there."""

import os
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import Future
from email.message import Message
from http.client import HTTPResponse
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from madx.config import InputError, RunError, first_line
from madx.foreign import SMALL
from madx.formats.manifest import LARGEST, WEIGHT_FILES
from madx.writing import OF_DISK, fsync_file, refused

TIMEOUT = float(os.environ.get("MADX_HTTP_TIMEOUT", "30"))  # seconds without a byte
DEADLINE = float(os.environ.get("MADX_HTTP_DEADLINE", "21600"))  # seconds for a file of weights, every attempt counted
SMALL_DEADLINE = min(DEADLINE, 300.0)  # and for any other file
ATTEMPTS = 4


def limit_of(name: str) -> int:
    """How many bytes a file of this name may have."""
    return LARGEST if name in WEIGHT_FILES else SMALL


def download(url: str, path: Path) -> bool:
    """Fetch a file, going on where an attempt broke off. False if the server has none. Raises RunError or InputError.

    In a thread of its own, since a server that sends a byte now and then keeps one waiting for ever in its headers too.
    """
    seconds = DEADLINE if path.name in WEIGHT_FILES else SMALL_DEADLINE
    done: Future[bool] = Future()
    stop = threading.Event()

    def work() -> None:
        try:
            done.set_result(_attempts(url, path, stop))
        except Exception as error:
            done.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return done.result(seconds)
    except TimeoutError:
        stop.set()
        raise RunError(f"{url}: not here after {seconds:.0f} s; the server is too slow, or means to be") from None


def _attempts(url: str, path: Path, stop: threading.Event) -> bool:
    beside = path.with_name(f".{path.name}.part")
    problem = ""
    for attempt in range(ATTEMPTS):
        have = beside.stat().st_size if beside.exists() else 0
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        try:
            with urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT) as answer:
                problem = _receive(answer, url, beside, limit_of(path.name), stop)
            if not problem:
                fsync_file(beside)
                beside.replace(path)
                return True
        except (InputError, RunError):
            raise
        except urllib.error.HTTPError as error:
            if error.code in (404, 410):
                return False
            problem = f"HTTP {error.code}"
            if error.code in (401, 403):
                raise InputError(f"{url}: the server refuses access ({problem})") from None
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in OF_DISK:  # another attempt is of no use
                raise refused(error, path) from None
            problem = first_line(error)
        except Exception as error:  # http.client's own, e.g. an incomplete read
            problem = f"{type(error).__name__}: {first_line(error)}"
        time.sleep(min(4.0, 0.2 * 2**attempt))
    raise RunError(f"{url}: cannot be fetched: {problem} ({ATTEMPTS} attempts)")


def _receive(answer: HTTPResponse, url: str, beside: Path, limit: int, stop: threading.Event) -> str:
    """Append or write what comes; what is wrong with its length, if anything is."""
    goes_on = answer.status == 206
    length = answer.headers.get("Content-Length")
    with open(beside, "ab" if goes_on else "wb") as file:
        expected = int(length) + file.tell() if length else None
        while chunk := answer.read1(1 << 18):
            file.write(chunk)
            if file.tell() > limit:
                raise RunError(f"{url}: more than {limit >> 20} MiB; no such file is this large")
            if stop.is_set():
                raise RunError(f"{url}: too late")
        have = file.tell()
    return "" if expected in (None, have) else f"it ended after {have} of {expected} bytes"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """To the web alone, and never from an encrypted connection to an open one."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in ("http", "https") or (before == "https" and after == "http"):
            raise InputError(f"{req.full_url}: redirects to another kind of address ({after}:); refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]

"""A store of finished steps that machines without a common disk share: an address of fsspec's (s3://, gs://, hf://,
sftp://, file://). Each machine's own store is the cache of it.

A step's done.json is sent last and holds the digest of every file, so half a step is never taken for a whole one,
whatever the place promises. Two machines that make the same step send the same bytes.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from madx.config import InputError, RunError, first_line
from madx.foreign import SMALL, inside

DONE = "done.json"
LISTED = 10.0  # seconds that a listing is taken for true
TOO_LARGE = 64 << 30  # bytes of one file


class Shared:
    def __init__(self, url: str) -> None:
        import fsspec

        self.url, self._broken = url, set[str]()
        self._names, self._until = set[str](), 0.0
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise InputError(f"--shared {self}: {first_line(error)}") from None
        self._root = str(root).rstrip("/")

    def __reduce__(self) -> tuple[type[Shared], tuple[str]]:
        return Shared, (self.url,)

    def __str__(self) -> str:
        """As it may be printed."""
        return re.sub(r"//[^/@]*@", "//", self.url)

    def done(self, name: str, sure: bool = False) -> bytes | None:
        """What a step's done.json says there; None: there is none, or its files turned out to be damaged.

        Asked for by name only if it is in a listing of the last seconds, or with `sure`.
        """
        if name in self._broken or not (sure or name in self._listed()):
            return None
        with self._said(name):
            try:
                with self._files.open(self._at(name, DONE), "rb") as file:
                    content: bytes = file.read(SMALL + 1)
            except FileNotFoundError:
                return None
        return content if len(content) <= SMALL else None

    def fetch(self, name: str, files: Sequence[str], beside: Sequence[str], folder: Path) -> None:
        """Its files, those `beside` them that are there, and its done.json into an empty folder. Raises RunError."""
        with self._said(name):
            for file in [*files, *(file for file in beside if self._files.exists(self._at(name, file))), DONE]:
                path = inside(folder, folder / file)
                path.parent.mkdir(parents=True, exist_ok=True)
                if self._files.size(self._at(name, file)) > TOO_LARGE:
                    raise RunError(f"{self}/{name}/{file}: too large to be fetched")
                with self._files.open(self._at(name, file), "rb") as there, path.open("wb") as here:
                    shutil.copyfileobj(there, here, 1 << 20)

    def send(self, name: str, files: Sequence[str], folder: Path) -> None:
        """done.json last. Raises RunError; what was finished here stays."""
        with self._said(name):
            for file in [*files, DONE]:
                there = self._at(name, file)
                self._files.makedirs(posixpath.dirname(there), exist_ok=True)
                self._files.put_file(str(folder / file), there)
        self._broken.discard(name)

    def distrust(self, name: str) -> None:
        """It is made again here, and sent again."""
        self._broken.add(name)

    def _listed(self) -> set[str]:
        if time.monotonic() > self._until:
            with self._said(""):
                try:
                    self._files.invalidate_cache(self._root)
                    paths = self._files.ls(self._root, detail=False)
                except FileNotFoundError:
                    paths = []
            self._names = {posixpath.basename(str(path).rstrip("/")) for path in paths}
            self._until = time.monotonic() + LISTED
        return self._names

    def _at(self, name: str, file: str) -> str:
        return f"{self._root}/{name}/{file}"

    @contextmanager
    def _said(self, name: str) -> Iterator[None]:
        try:
            yield
        except (InputError, RunError):
            raise
        except Exception as error:  # every place has errors of its own
            raise RunError(
                f"{self}/{name}: {type(error).__name__}: {first_line(error)}; what was finished here is safe: run the "
                "same command again"
            ) from error

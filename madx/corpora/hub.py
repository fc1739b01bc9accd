"""Data sets of the Hub, for text and for labels: one door to `datasets`, kept quiet, its errors one line."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from madx.config import InputError, first_line


class NoSplit(InputError):
    """The data set and its configuration are there, the split isn't."""


class HubSplit(NamedTuple):
    """A split of a data set; the configuration is often a language's."""

    dataset: str
    config: str | None
    split: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"Hub dataset {self.dataset} ({self.config}, {self.split})"

    def stream(self) -> Iterator[dict[str, Any]]:
        """Its rows, as they come. Raises InputError."""
        with self._said_in_a_line():
            yield from self._load(streaming=True)

    def load(self) -> tuple[Any, list[dict[str, Any]]]:
        """Features and rows. Raises InputError, NoSplit where the split alone is missing."""
        with self._said_in_a_line():
            loaded = self._load(streaming=False)
            return loaded.features, list(loaded)

    def _load(self, streaming: bool) -> Any:
        import datasets

        datasets.disable_progress_bars()
        for name in ("datasets", "huggingface_hub", "fsspec", "filelock"):  # retries are told as warnings
            logging.getLogger(name).setLevel(logging.ERROR)
        return datasets.load_dataset(
            self.dataset, self.config, split=self.split, revision=self.revision, streaming=streaming
        )

    @contextmanager
    def _said_in_a_line(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # of a dozen libraries below `datasets`
            said = str(error)
            if isinstance(error, ValueError) and ("Unknown split" in said or "Bad split" in said):
                raise NoSplit(f"{self}: {first_line(error)}") from None
            if "scripts are no longer supported" in said:
                raise InputError(
                    f"{self}: a data set that is a script, which `datasets` no longer runs; set "
                    'revision = "refs/convert/parquet" if the Hub has converted it, or download its files'
                ) from None
            raise InputError(f"{self}: {first_line(error)}") from None

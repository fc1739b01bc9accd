"""Checkpoints: everything that an exact continuation needs, whole or not there.

A checkpoint's name holds the digest of its bytes, so damage shows before anything is read from it.
"""

import os
from pathlib import Path
from typing import Any

import torch

from madx.config import file_digest, named
from madx.writing import fsync_file, fsync_folder

PATTERN = "checkpoint-*.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write beside, flush, rename, flush; then the one before it goes."""
    beside = folder / ".checkpoint.part"
    with named(beside), open(beside, "wb") as file:  # by a name of its own torch hides what the system says
        torch.save(state, file)
    fsync_file(beside)
    path = folder / f"checkpoint-{file_digest(beside)[:16]}.pt"
    before = [other for other in folder.glob(PATTERN) if other != path]
    os.replace(beside, path)
    fsync_folder(folder)
    for other in before:
        other.unlink()


def load_checkpoint(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The state, if there is one, and a line for every damaged checkpoint that was put aside."""
    damaged: list[str] = []
    for path in sorted(folder.glob(PATTERN), key=lambda p: p.stat().st_mtime, reverse=True):
        if path.name == f"checkpoint-{file_digest(path)[:16]}.pt":
            with named(path):
                state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state, damaged
        damaged.append(f"{path}: damaged, so it was not gone on from; what it held is trained again")
        path.unlink()
    return None, damaged


def drop_checkpoint(folder: Path) -> None:
    for path in folder.glob(PATTERN):
        path.unlink()

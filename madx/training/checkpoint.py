"""Checkpoints: everything that an exact continuation needs, whole or not there."""

import os
from pathlib import Path
from typing import Any

import torch

from madx.store import fsync_file

NAME = "checkpoint.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    beside = folder / f".{NAME}.part"
    torch.save(state, beside)
    fsync_file(beside)
    os.replace(beside, folder / NAME)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    path = folder / NAME
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def drop_checkpoint(folder: Path) -> None:
    (folder / NAME).unlink(missing_ok=True)

"""Where an adapter is published: the Hugging Face Hub, an HTTP(S) directory, or a local folder.

    AdapterHub/xlm-roberta-base-qu-wiki_pfeiffer      a Hub repository that is one adapter
    owner/collection/swe@v2                           a folder of a Hub repository, at a revision
    https://example.org/adapters/swe                  a folder on a web server
    ./adapters/swe                                    a folder here

`hub:` before a repository says outright that it is one: `hub:results/swe` where there is a folder `results` here.

A place that holds several adapters has an `index.json` (see index.py), the same in all three.
"""

import difflib
import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from madx.config import Frozen, InputError


class Address(Frozen):
    kind: Literal["hub", "http", "local"]
    place: str  # repository, URL or folder that holds the adapters
    path: str = ""  # of the adapter inside it; empty: the place itself
    revision: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.place}/{self.path}{revision}" if self.path else f"{self.place}{revision}"


def parse_address(text: str, revision: str | None = None, beside: Path | None = None) -> Address:
    """What a person wrote. A folder that exists wins over a Hub repository of that name.

    What would lie in a folder that exists, or in results/, was meant as a folder. Raises InputError.
    """
    if re.match(r"https?://", text):
        parts = urlsplit(text)
        if parts.username is not None or parts.password is not None:
            raise InputError(f"https://...@{parts.hostname}: an address with a name or a password in it isn't read")
        if not parts.netloc or parts.query or parts.fragment:
            raise InputError(f"{text}: not the address of a directory; write https://HOST/DIRECTORY")
        if revision:
            raise InputError(f"{text}: a web server has no revisions; --revision is for the Hub")
        return Address(kind="http", place=text.rstrip("/"))
    for folder in (Path(text).expanduser(), *([beside / text] if beside else [])):
        if folder.is_dir():
            return Address(kind="local", place=str(folder))
    if text.startswith((".", "/", "~")):
        return Address(kind="local", place=str(Path(text).expanduser()))
    said, name = text.startswith("hub:"), text.removeprefix("hub:")
    if not said and "/" in text and (text.startswith("results/") or Path(text).parent.is_dir()):
        raise InputError(no_folder(text))
    name, _, at = name.partition("@")
    match = re.fullmatch(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)((?:/[A-Za-z0-9][\w.-]*)*)", name)
    if match is None or ".." in text:
        raise InputError(f"'{text}': neither a folder here, nor OWNER/REPOSITORY on the Hub, nor https://...")
    return Address(kind="hub", place=match[1], path=match[2].lstrip("/"), revision=revision or at or None)


def no_folder(text: str) -> str:
    """The message for a folder that isn't there, with the one beside it that was perhaps meant."""
    path = Path(text)
    beside = [one.name for one in path.parent.iterdir() if one.is_dir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, beside, n=1)
    meant = f"; did you mean {text.rstrip('/').removesuffix(path.name)}{close[0]}?" if close else ""
    return f"no folder {text} here{meant} (a Hub address is OWNER/REPOSITORY/NAME, or hub: and that)"


def push_address(text: str) -> Address:
    """Where to publish: said outright, `hub:OWNER/REPOSITORY/NAME` or a path that begins as one. Raises InputError."""
    if text.startswith("hub:"):
        name, _, at = text.removeprefix("hub:").partition("@")
        if re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)+", name) is None:
            raise InputError(f"{text}: write hub:OWNER/REPOSITORY or hub:OWNER/REPOSITORY/NAME, and @BRANCH behind it")
        owner, repository, *path = name.split("/")
        return Address(kind="hub", place=f"{owner}/{repository}", path="/".join(path), revision=at or None)
    if text.startswith((".", "/", "~")):
        return Address(kind="local", place=str(Path(text).expanduser()))
    if re.match(r"https?://", text):
        return parse_address(text)
    raise InputError(f"{text}: a folder here or a repository of the Hub? Write ./{text} or hub:{text}")

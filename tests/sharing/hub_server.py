"""A server that speaks as much of the Hub's protocol as huggingface_hub's client asks for, and can misbehave."""

import base64
import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_right"


@dataclass
class Repository:
    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)  # sha to its files
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        content = {**self.commits.get(self.branches.get(branch, ""), {}), **files}
        sha = hashlib.sha1(json.dumps([len(self.commits), branch, sorted(content)]).encode()).hexdigest()
        self.commits[sha] = content
        self.branches[branch] = sha
        return sha


class Hub(ThreadingHTTPServer):
    """`breaks`: how many downloads of weights end in the middle. `slow`: seconds between the pieces of one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.breaks, self.slow = 0, 0.0
        self.ranges: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that hangs up is no news


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *args: object) -> None:
        pass

    def _json(self, value: object, status: int = 200, **headers: str) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, content in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), content)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _authorised(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _missing(self, code: str, status: int = 404) -> None:
        self._json({"error": code}, status, X_Error_Code=code, X_Error_Message=code)

    def _repository(self, name: str) -> Repository | None:
        repository = self.server.repositories.get(name)
        if repository is None or (repository.private and not self._authorised()):
            self._missing("RepoNotFound", 401)  # the Hub doesn't say which of the two
            return None
        return repository

    def _revision(self, repository: Repository, revision: str) -> str | None:
        sha = repository.branches.get(revision, revision)
        if sha not in repository.commits:
            self._missing("RevisionNotFound")
            return None
        return sha

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        if path.startswith("api/models/"):
            rest = path.removeprefix("api/models/")
            name, revision = "/".join(rest.split("/")[:2]), "main"
            if "/revision/" in rest:
                revision = rest.split("/revision/")[1]
            if "/tree/" in rest:
                revision = rest.split("/tree/")[1].split("/")[0]
            repository = self._repository(name)
            if repository is None:
                return
            sha = self._revision(repository, revision)
            if sha is None:
                return
            files = repository.commits[sha]
            if "/tree/" in rest:
                self._json([{"type": "file", "path": f, "size": len(c), "oid": hashlib.sha1(c).hexdigest()}
                            for f, c in files.items()])  # fmt: skip
                return
            self._json({"id": name, "modelId": name, "sha": sha, "private": repository.private, "tags": [],
                        "siblings": [{"rfilename": f} for f in files]})  # fmt: skip
            return
        if "/resolve/" in path:
            name, rest = path.split("/resolve/", 1)
            revision, file = rest.split("/", 1)
            repository = self._repository(name)
            if repository is None:
                return
            sha = self._revision(repository, revision)
            if sha is None:
                return
            content = repository.commits[sha].get(file)
            if content is None:
                self._missing("EntryNotFound")
                return
            self._file(file, content, sha)
            return
        self._missing("NotFound")

    def _file(self, file: str, content: bytes, sha: str) -> None:
        start = 0
        asked = self.headers.get("Range")
        if asked:
            self.server.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").split("-")[0])
        body = content[start:]
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", sha)
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "HEAD":
            return
        if file.endswith(".safetensors") and self.server.breaks > 0:
            self.server.breaks -= 1
            self.wfile.write(body[: max(1, len(body) // 2)])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        if file.endswith(".safetensors") and self.server.slow:
            for i in range(0, len(body), max(1, len(body) // 4)):
                self.wfile.write(body[i : i + max(1, len(body) // 4)])
                self.wfile.flush()
                time.sleep(self.server.slow)
            return
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path).strip("/")
        if path == "api/validate-yaml":
            self._json({"errors": [], "warnings": []})
            return
        if not self._authorised():
            self._json({"error": "Invalid credentials"}, 401)
            return
        if path == "api/repos/create":
            asked = json.loads(body)
            name = "/".join(x for x in (asked.get("organization"), asked["name"]) if x)
            if name in self.server.repositories:
                self._json({"error": "exists", "url": f"{self.server.url}/{name}"}, 409)
                return
            private = bool(asked.get("private")) or asked.get("visibility") == "private"
            self.server.repositories[name] = repository = Repository(private=private)
            repository.commit({".gitattributes": b""})
            self._json({"url": f"{self.server.url}/{name}", "name": name, "id": name})
            return
        rest = path.removeprefix("api/models/")
        name = "/".join(rest.split("/")[:2])
        found = self._repository(name)
        if found is None:
            return
        action, _, revision = rest.removeprefix(name + "/").partition("/")
        if action == "preupload":
            files = json.loads(body)["files"]
            self._json({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]})
        elif action == "branch":
            if revision in found.branches:
                self._json({"error": "exists"}, 409)
                return
            found.branches[revision] = found.branches["main"]
            self._json({})
        elif action == "commit":
            new = {}
            for line in body.splitlines():
                row = json.loads(line)
                if row["key"] == "header" and row["value"].get("parentCommit") not in (None, found.branches[revision]):
                    self._json({"error": "not the head"}, 412)
                    return
                if row["key"] == "file":
                    new[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
            sha = found.commit(new, revision)
            self._json({"success": True, "commitOid": sha, "commitUrl": f"{self.server.url}/{name}/commit/{sha}"})
        else:
            self._missing("NotFound")

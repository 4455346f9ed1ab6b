"""A local Hub on the loopback, for the real client of `huggingface_hub`.

It keeps repositories in memory and implements what the client needs to create, commit, look up
and download. It can misbehave (`Fault`), and records the requests in `Hub.requests`.
"""

import base64
import hashlib
import json
import re
import threading
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

WRITER, READER = "hf_writer", "hf_reader"


@dataclass
class Fault:
    """A failure of the requests that match, for the first `times` of them.

    Attributes:
        method: GET, HEAD, POST or PUT.
        path: a regular expression, searched for in the request's path.
        kind: a status to answer; or `cut` (half the body, then the connection ends), `drop` (the
            same after no byte of it), `short` (half the body, stated as if it were all), `flip` (a
            byte in the middle is another), `stall` (half the body, then silence), `lose` (do what
            is asked, then end the connection before the answer).
    """

    method: str
    path: str
    kind: int | str
    times: int = 10**9


@dataclass
class Repo:
    """A repository: its branches, and the files of each commit."""

    private: bool = False
    gated: bool = False
    heads: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)

    def commit(self, branch: str, files: dict[str, bytes], title: str) -> str:
        oid = uuid.uuid4().hex + "0" * 8
        self.commits[oid] = files
        self.heads[branch] = oid
        self.titles.append(title)
        return oid

    def find(self, revision: str) -> str | None:
        return self.heads.get(revision) or (revision if revision in self.commits else None)

    def files(self, revision: str = "main") -> dict[str, bytes]:
        return self.commits[self.heads[revision]]


class Hub(ThreadingHTTPServer):
    """The server; `with Hub(lfs=True) as hub` serves at `hub.url`.

    Args:
        lfs: keep `.safetensors` files as LFS objects, which have a SHA-256 of their own and lie
            elsewhere; or as any other file.
    """

    daemon_threads = True

    def __init__(self, *, lfs: bool) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lfs = lfs
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.stalled = threading.Event()
        self.lock = threading.RLock()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def make(self, repo_id: str, files: dict[str, bytes] | None = None, **flags: bool) -> Repo:
        """Create a repository whose first commit holds `files`."""
        repo = self.repos[repo_id] = Repo(**flags)
        repo.commit("main", {".gitattributes": b"", **(files or {})}, "initial commit")
        for data in (files or {}).values():
            self.objects[hashlib.sha256(data).hexdigest()] = data
        return repo

    def is_lfs(self, path: str) -> bool:
        return self.lfs and path.endswith(".safetensors")

    def fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.method == method and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None

    def handle_error(self, request, client_address) -> None:
        """Clients that go away are part of the tests."""


class RefusalError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, code: str = "", message: str = "", **headers: str) -> None:
        self.status, self.message = status, message
        self.headers = {"X-Error-Message": message, **headers}
        if code:
            self.headers["X-Error-Code"] = code


REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"


class Handler(BaseHTTPRequestHandler):
    """One request: find the route, check the token, answer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Hub

    routes = (
        ("POST", r"/api/repos/create", "create"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("POST", rf"/api/models/{REPO}/preupload/(?P<rev>[^/]+)", "preupload"),
        ("POST", rf"/api/models/{REPO}/commit/(?P<rev>[^/]+)", "commit"),
        ("POST", rf"/api/models/{REPO}/branch/(?P<rev>[^/]+)", "branch"),
        ("GET", rf"/api/models/{REPO}(/revision/(?P<rev>[^/]+))?", "info"),
        ("POST", rf"/{REPO}\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", "store"),
        ("POST", r"/lfs/verify", "verify"),
        ("GET", r"/cdn/(?P<oid>[0-9a-f]{64})", "fetch"),
        ("GET", rf"/{REPO}/resolve/(?P<rev>[^/]+)/(?P<file>.+)", "resolve"),
    )

    def do_GET(self) -> None:
        self.answer()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - http.server's names

    def answer(self) -> None:
        hub, url = self.server, urlsplit(self.path)
        self.body = self.read_body()
        self.query = parse_qs(url.query)
        hub.requests.append(f"{self.command} {url.path}")
        self.fault = hub.fault(self.command, url.path)
        try:
            if self.fault and isinstance(self.fault.kind, int):
                raise RefusalError(self.fault.kind, message="told to refuse")
            self.check_token()
            self.route(url.path)
        except RefusalError as refusal:
            self.send(refusal.status, {"error": refusal.message}, **refusal.headers)

    def route(self, path: str) -> None:
        method = "GET" if self.command == "HEAD" else self.command
        for verb, pattern, name in self.routes:
            match = re.fullmatch(pattern, path)
            if match and verb == method:
                parts = {k: unquote(v) for k, v in match.groupdict().items() if v is not None}
                if "repo" in parts:
                    self.repo_id = parts.pop("repo")
                    self.repo = self.find_repo(read_files=name == "resolve")
                with self.server.lock:
                    reply = getattr(self, name)(**parts)
                if reply is not None:
                    self.send(200, reply)
                else:
                    self.send_body()
                return
        raise RefusalError(404, message=f"no such route: {method} {path}")

    # Who may do what

    def check_token(self) -> None:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given not in ("", WRITER, READER):
            raise RefusalError(401, message="Invalid credentials in Authorization header")
        self.token = given
        writes = ("/repos/create", "/commit/", "/branch/", "/preupload/")
        if any(part in self.path for part in writes) and given != WRITER:
            raise RefusalError(403 if given else 401, message="this token may not write")

    def find_repo(self, *, read_files: bool) -> Repo:
        repo = self.server.repos.get(self.repo_id)
        if repo is None or (repo.private and not self.token):
            raise RefusalError(404 if self.token else 401, "RepoNotFound", "Repository not found")
        if repo.gated and read_files and self.token != WRITER:
            raise RefusalError(403, "GatedRepo", "Access to it is restricted")
        return repo

    def find_commit(self, rev: str) -> str:
        oid = self.repo.find(rev)
        if oid is None:
            raise RefusalError(404, "RevisionNotFound", f"Invalid rev id: {rev}")
        return oid

    # What can be asked

    def create(self) -> dict:
        asked = json.loads(self.body)
        repo_id = f"{asked['organization']}/{asked['name']}"
        url = f"{self.server.url}/{repo_id}"
        if repo_id in self.server.repos:
            self.send(409, {"error": "You already created this model repo", "url": url})
            return None
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.server.make(repo_id, private=private)
        return {"url": url}

    def validate(self) -> dict:
        """Check, as the Hub does, that the front matter is a YAML mapping."""
        front = json.loads(self.body)["content"].split("---\n")[1]
        if not isinstance(yaml.safe_load(front), dict):
            raise RefusalError(400, message="metadata is not a mapping")
        return {"errors": [], "warnings": []}

    def preupload(self, rev: str) -> dict:
        there = self.repo.commits[self.find_commit(rev)]
        return {
            "files": [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if self.server.is_lfs(file["path"]) else "regular",
                    "shouldIgnore": False,
                    "oid": self.oid(file["path"], there.get(file["path"])),
                }
                for file in json.loads(self.body)["files"]
            ]
        }

    def oid(self, path: str, data: bytes | None) -> str | None:
        if data is None:
            return None
        if self.server.is_lfs(path):
            return hashlib.sha256(data).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    def batch(self) -> dict:
        def actions(oid: str) -> dict:
            return {
                "upload": {"href": f"{self.server.url}/lfs/{oid}", "header": {}},
                "verify": {"href": f"{self.server.url}/lfs/verify"},
            }

        return {
            "transfer": "basic",
            "objects": [
                item
                if item["oid"] in self.server.objects
                else {**item, "actions": actions(item["oid"])}
                for item in json.loads(self.body)["objects"]
            ],
        }

    def store(self, oid: str) -> dict:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise RefusalError(400, message="the content has another SHA-256")
        self.server.objects[oid] = self.body
        return {}

    def verify(self) -> dict:
        asked = json.loads(self.body)
        if len(self.server.objects[asked["oid"]]) != asked["size"]:
            raise RefusalError(400, message="the content has another size")
        return {}

    def commit(self, rev: str) -> dict:
        lines = [json.loads(line) for line in self.body.splitlines()]
        (header,) = [line["value"] for line in lines if line["key"] == "header"]
        head = self.find_commit(rev)
        if header.get("parentCommit", head) != head:
            raise RefusalError(412, message="A commit has happened since. Please refresh.")
        files = dict(self.repo.commits[head])
        for line in lines:
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "lfsFile":
                files[line["value"]["path"]] = self.server.objects[line["value"]["oid"]]
        proposed = "create_pr" in self.query
        branch = f"refs/pr/{len(self.repo.heads)}" if proposed else rev
        oid = self.repo.commit(branch, files, header["summary"])
        url = f"{self.server.url}/{self.repo_id}"
        reply = {"commitUrl": f"{url}/commit/{oid}", "commitOid": oid}
        return {**reply, "pullRequestUrl": f"{url}/discussions/1"} if proposed else reply

    def branch(self, rev: str) -> dict:
        if rev in self.repo.heads:
            raise RefusalError(409, message="Reference already exists")
        self.repo.heads[rev] = self.repo.heads["main"]
        return {}

    def info(self, rev: str = "main") -> dict:
        oid = self.find_commit(rev)
        names = self.repo.commits[oid]
        return {"id": self.repo_id, "sha": oid, "siblings": [{"rfilename": n} for n in names]}

    def resolve(self, rev: str, file: str) -> None:
        oid = self.find_commit(rev)
        data = self.repo.commits[oid].get(file)
        if data is None:
            raise RefusalError(404, "EntryNotFound", "Entry not found", **{"X-Repo-Commit": oid})
        etag = self.oid(file, data)
        self.out = (200, data, {"X-Repo-Commit": oid, "ETag": f'"{etag}"'})
        if self.server.is_lfs(file):
            self.server.objects[etag] = data
            self.out = (302, b"", {
                "X-Repo-Commit": oid,
                "X-Linked-Etag": f'"{etag}"',
                "X-Linked-Size": str(len(data)),
                # Another host, as the Hub's: there the client sends no token.
                "Location": f"http://localhost:{self.server.server_port}/cdn/{etag}",
            })  # fmt: skip

    def fetch(self, oid: str) -> None:
        self.out = (200, self.server.objects[oid], {"ETag": f'"{oid}"'})

    # Bytes in and out

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def send(self, status: int, reply: object, **headers: str) -> None:
        headers["Content-Type"] = "application/json"
        self.out = (status, json.dumps(reply).encode(), headers)
        self.send_body()

    def send_body(self) -> None:
        if self.out is None:
            return
        (status, data, headers), self.out = self.out, None
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and status == 200:
            start = int(asked[1])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            status, data = 206, data[start:]
        kind = self.fault.kind if self.fault else None
        stated, data = self.spoil(kind, data)
        if kind == "lose":
            self.end()
            return
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(stated)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
            self.wfile.flush()
        if kind == "stall":
            self.server.stalled.set()
            threading.Event().wait(30)
        if kind in ("cut", "drop", "stall"):
            self.end()

    def spoil(self, kind: int | str | None, data: bytes) -> tuple[int, bytes]:
        """Return the length to state and the bytes to send."""
        half = data[: len(data) // 2]
        if kind in ("cut", "stall"):
            return len(data), half
        if kind == "drop":
            return len(data), b""
        if kind == "short":
            return len(half), half
        if kind == "flip":
            return len(data), half + bytes([data[len(half)] ^ 1]) + data[len(half) + 1 :]
        return len(data), data

    def end(self) -> None:
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Log nothing. The tests use `Hub.requests`."""

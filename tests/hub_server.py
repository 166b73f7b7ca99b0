"""A small Hugging Face Hub on 127.0.0.1: repositories of models, their files, and commits to them."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "hf_right"
SHA = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Answers as the Hub does, for one revision of each model, which everybody may read and one token may write."""

    protocol_version = "HTTP/1.1"
    models: ClassVar[dict[str, dict[str, bytes]]]
    requests: ClassVar[list[str]]
    created: ClassVar[list[dict[str, Any]]]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.requests.append(f"{self.command} {self.path}")
        words = unquote(urlsplit(self.path).path).strip("/").split("/")
        if words[0] == "api" and words[1] == "models":
            model = "/".join(words[2:4])
            if model not in self.models:
                return self._fail(404, "RepoNotFound")
            if words[4:5] == ["revision"] and words[5] not in ("main", SHA):
                return self._fail(404, "RevisionNotFound")
            files = self.models[model]
            if words[4:5] == ["tree"]:
                rows = [
                    {"type": "file", "path": name, "size": len(content), "oid": _digest(content)}
                    for name, content in files.items()
                ]
                return self._answer(json.dumps(rows).encode())
            info = {"id": model, "sha": SHA, "siblings": [{"rfilename": name} for name in files]}
            return self._answer(json.dumps(info).encode())
        model, name = "/".join(words[:2]), "/".join(words[4:])
        if name not in self.models.get(model, {}):
            return self._fail(404, "EntryNotFound")
        content = self.models[model][name]
        return self._answer(content, {"ETag": f'"{_digest(content)}"', "X-Repo-Commit": SHA})

    def do_POST(self) -> None:
        self.requests.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        words = unquote(urlsplit(self.path).path).strip("/").split("/")
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self._fail(401, "")
        if words[1:] == ["repos", "create"]:
            self.created.append(json.loads(body))
            model = f"{self.created[-1]['organization']}/{self.created[-1]['name']}"
            self.models.setdefault(model, {})
            return self._answer(json.dumps({"url": f"http://{self.headers['Host']}/{model}"}).encode())
        if words[1:] == ["validate-yaml"]:
            if "license: mine" in json.loads(body)["content"]:
                return self._answer(b'{"errors": [{"message": "license must be one of ..."}]}', status=400)
            return self._answer(b'{"errors": [], "warnings": []}')
        model = "/".join(words[2:4])
        if words[4] == "preupload":
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                for one in json.loads(body)["files"]
            ]
            return self._answer(json.dumps({"files": files}).encode())
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                self.models[model][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        url = f"http://{self.headers['Host']}/{model}/commit/{SHA}"
        return self._answer(json.dumps({"success": True, "commitOid": SHA, "commitUrl": url}).encode())

    def _answer(self, content: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _fail(self, status: int, code: str) -> None:
        self._answer(json.dumps({"error": code}).encode(), {"X-Error-Code": code}, status)

    def log_message(self, *arguments: object) -> None:
        """Nothing: what was asked is in `requests`."""


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@contextmanager
def hub_server(cache: Path, token: str = TOKEN) -> Iterator[type[Hub]]:
    """Let huggingface_hub use a hub without models.

    Args:
        cache: where it keeps what it downloads.
        token: of the user; empty for nobody.

    Yields:
        The class that has the hub's state.
    """
    own = type("OwnHub", (Hub,), {"models": {}, "requests": [], "created": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), own)
    thread = Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    settings = {
        "ENDPOINT": url,
        "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(cache),
        "HF_TOKEN_PATH": str(cache / "token"),
        "HF_HUB_DISABLE_TELEMETRY": True,
    }
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HF_TOKEN", token)
            for name, value in settings.items():
                patch.setattr(f"huggingface_hub.constants.{name}", value)
            yield own
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

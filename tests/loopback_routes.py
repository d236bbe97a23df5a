"""What the loopback Hub answers: one method a route, the same for models, data sets and Spaces."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote

from loopback_store import LFS_SUFFIXES, Commit, Entry, Repo, front_matter, history_of, problems_of

PAGE = 20
TYPE = r"(?P<type>models|datasets|spaces)"
ID = r"(?P<id>[\w.-]+/[\w.-]+)"
ROUTES: list[tuple[re.Pattern[str], str]] = []


def route(pattern: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Answer requests whose "METHOD /path" matches: TYPE and ID are filled in, other groups are arguments."""

    def register(method: Callable[..., Any]) -> Callable[..., Any]:
        ROUTES.append((re.compile(pattern.replace("TYPE", TYPE).replace("ID", ID)), method.__name__))
        return method

    return register


class Refusal(Exception):
    """Ends a request with a status, and the code by which the client knows the reason."""

    def __init__(self, status: int, message: str, code: str | None = None):
        self.status, self.message, self.code = status, message, code


class Routes:
    """A request is at hand as `command`, `query`, `body` and `headers`. Called under the Hub's lock.

    An answer is JSON, or (status, body, headers).
    """

    hub: Any  # a Store with its url
    command: str
    query: dict[str, list[str]]
    body: bytes
    headers: Any
    extra: dict[str, str]

    # ---- who may do what

    @property
    def user(self) -> str | None:
        return self._account()[0]

    def _account(self) -> tuple[str | None, bool]:
        header = self.headers.get("Authorization")
        if not header:
            return None, False
        if header.removeprefix("Bearer ") not in self.hub.users:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.hub.users[header.removeprefix("Bearer ")]

    def _repo(self, type: str, repo_id: str) -> Repo:
        user, repo = self.user, self.hub.repos.get((type.strip("/"), repo_id))
        if repo is None or (repo.private and user != repo_id.split("/")[0]):
            raise Refusal(404 if user else 401, "Repository not found", "RepoNotFound")
        return repo

    def _require_write(self, repo_id: str) -> None:
        user, write = self._account()
        if user is None:
            raise Refusal(401, "Invalid username or password.")
        if not write or user != repo_id.split("/")[0]:
            raise Refusal(
                403, f"You don't have the rights to write under the namespace {repo_id.split('/')[0]!r}"
            )

    def _require_read(self, repo: Repo) -> None:
        if repo.gated and self.user != repo.id.split("/")[0]:
            raise Refusal(403 if self.user else 401, f"Access to {repo.id} is restricted.", "GatedRepo")

    def _commit(self, repo: Repo, revision: str) -> Commit:
        commit = repo.find(revision)
        if commit is None:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    # ---- accounts and repositories

    @route("GET /api/whoami-v2")
    def whoami(self) -> Any:
        user, write = self._account()
        if user is None:
            raise Refusal(401, "Invalid username or password.")
        role = "write" if write else "read"
        return {"type": "user", "name": user, "orgs": [], "auth": {"accessToken": {"role": role}}}

    @route("POST /api/repos/create")
    def create(self) -> Any:
        wanted = json.loads(self.body)
        type = wanted.get("type", "model") + "s"
        repo_id = f"{wanted.get('organization') or self.user}/{wanted['name']}"
        self._require_write(repo_id)
        prefix = "" if type == "models" else f"{type}/"
        answer = {"url": f"{self.hub.url}/{prefix}{repo_id}", "name": repo_id}
        if (type, repo_id) in self.hub.repos:
            body = json.dumps(answer | {"error": "You already created this repo"}).encode()
            return 409, body, {}
        repo = self.hub.repos[type, repo_id] = Repo(type, repo_id, wanted.get("visibility") == "private")
        repo.settings = {
            key: wanted[key] for key in ("sdk", "hardware", "secrets", "variables") if key in wanted
        }
        self.hub.commit(
            repo, "main", "initial commit", {".gitattributes": self.hub.store("", b"*.safetensors lfs")}
        )
        return answer

    @route("DELETE /api/repos/delete")
    def delete(self) -> Any:
        wanted = json.loads(self.body)
        repo_id = f"{wanted.get('organization') or self.user}/{wanted['name']}"
        self._require_write(repo_id)
        del self.hub.repos[wanted.get("type", "model") + "s", repo_id]
        return {}

    @route(r"PUT /api/TYPE/ID/settings")
    def set_settings(self, repo: Repo) -> Any:
        self._require_write(repo.id)
        wanted = json.loads(self.body)
        repo.private = wanted.get("private", wanted.get("visibility") == "private")
        repo.gated = bool(wanted.get("gated", repo.gated))
        return {}

    @route(r"(POST|DELETE) /api/(?P<type>spaces)/ID/(?P<kind>secrets|variables)")
    def set_variable(self, repo: Repo, kind: str) -> Any:
        self._require_write(repo.id)
        wanted = json.loads(self.body)
        repo.settings.setdefault(kind, []).append(wanted)
        return {wanted["key"]: wanted}

    @route(r"POST /api/(?P<type>spaces)/ID/hardware")
    def set_hardware(self, repo: Repo) -> Any:
        self._require_write(repo.id)
        repo.settings["hardware"] = json.loads(self.body)["flavor"]
        return self.runtime(repo)

    @route(r"GET /api/(?P<type>spaces)/ID/(runtime|variables)")
    def runtime(self, repo: Repo) -> Any:
        return {"stage": "RUNNING", "hardware": {"current": "cpu-basic"}, "storage": None}

    @route(r"GET /api/TYPE/ID/auth-check(?P<write>/write)?")
    def auth_check(self, repo: Repo, write: str) -> Any:
        if write:
            self._require_write(repo.id)
        self._require_read(repo)
        return {}

    # ---- finding and listing

    @route(r"GET /api/(?P<type>models|datasets|spaces)")
    def list_repos(self, type: str) -> Any:
        query = self.query
        found = []
        for repo in self.hub.repos.values():
            info = self._info(repo, repo.branches["main"]) if repo.type == type else None
            if (
                info is None
                or (repo.private and self.user != info["author"])
                or not set(query.get("filter", [])) <= set(info["tags"])
                or info["author"] not in query.get("author", [info["author"]])
                or not all(word.lower() in repo.id.lower() for word in query.get("search", []))
            ):
                continue
            found.append(info)
        key = query.get("sort", ["createdAt"])[0]
        found.sort(key=lambda info: info[key], reverse=True)
        start = int(query.get("cursor", ["0"])[0])
        page = found[start : start + min(PAGE, int(query.get("limit", [PAGE])[0]))]
        if start + len(page) < len(found):
            rest = "&".join(f"{k}={quote(v)}" for k, values in query.items() if k != "cursor" for v in values)
            self.extra = {
                "Link": f'<{self.hub.url}/api/{type}?{rest}&cursor={start + len(page)}>; rel="next"'
            }
        wanted = set(query.get("expand", []))
        return [{k: v for k, v in info.items() if not wanted or k in wanted | {"id"}} for info in page]

    @route(r"GET /api/TYPE/ID(/revision/(?P<revision>[^/]+))?")
    def info(self, repo: Repo, revision: str) -> Any:
        return self._info(repo, self._commit(repo, revision or "main"))

    def _info(self, repo: Repo, commit: Commit) -> dict[str, Any]:
        card = self._front_matter(commit)
        tags = [*card.get("tags", []), *([f"license:{card['license']}"] if "license" in card else [])]
        tags += [card[key] for key in ("library_name", "pipeline_tag") if key in card]
        tags += [f"dataset:{name}" for name in card.get("datasets", [])]
        info = {key: card.get(key) for key in ("library_name", "pipeline_tag", "model-index")}
        info |= {
            "id": repo.id,
            "author": repo.id.split("/")[0],
            "sha": commit.oid,
            "tags": tags,
            "cardData": card,
        }
        info |= {"private": repo.private, "gated": "auto" if repo.gated else False, "disabled": False}
        info |= {"createdAt": history_of(commit)[-1].date, "lastModified": commit.date}
        info |= {"downloads": 0, "likes": 0, "siblings": [{"rfilename": path} for path in commit.files]}
        return info | ({"sdk": repo.settings.get("sdk"), "runtime": None} if repo.type == "spaces" else {})

    def _front_matter(self, commit: Commit) -> dict[str, Any]:
        if "README.md" not in commit.files:
            return {}
        return front_matter(self.hub.objects[commit.files["README.md"].sha256].decode()) or {}

    @route(r"GET /api/TYPE/ID/tree/(?P<revision>[^/]+)(/(?P<path>.*))?")
    def tree(self, repo: Repo, revision: str, path: str) -> Any:
        files = self._commit(repo, revision).files
        start = path.rstrip("/") + "/" if path else ""
        if path and not any(name.startswith(start) for name in files):
            raise Refusal(404, f"{path} does not exist", "EntryNotFound")
        rows: dict[str, Any] = {}
        recursive = self.query.get("recursive", ["false"])[0].lower() == "true"
        for name, entry in files.items():
            if not name.startswith(start):
                continue
            parts = name.removeprefix(start).split("/")
            for depth in range(1, len(parts) if recursive else min(2, len(parts))):
                folder = start + "/".join(parts[:depth])
                rows[folder] = {"type": "directory", "path": folder, "oid": "0" * 40, "size": 0}
            if recursive or len(parts) == 1:
                rows[name] = self._file_row(name, entry)
        return list(rows.values())

    @staticmethod
    def _file_row(path: str, entry: Entry) -> dict[str, Any]:
        large = {"lfs": {"oid": entry.sha256, "size": entry.size, "pointerSize": 134}} if entry.lfs else {}
        return {"type": "file", "path": path, "oid": entry.blob_id, "size": entry.size, **large}

    @route(r"POST /api/TYPE/ID/paths-info/(?P<revision>[^/]+)")
    def paths_info(self, repo: Repo, revision: str) -> Any:
        files = self._commit(repo, revision).files
        wanted = parse_qs(self.body.decode()).get("paths", [])
        rows = [self._file_row(path, files[path]) for path in wanted if path in files]
        folders = [path for path in wanted if any(name.startswith(f"{path}/") for name in files)]
        return rows + [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in folders]

    @route(r"GET /api/TYPE/ID/refs")
    def refs(self, repo: Repo) -> Any:
        def rows(kind: str, refs: dict[str, Commit]) -> list[dict[str, str]]:
            return [{"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": c.oid} for n, c in refs.items()]

        return {"branches": rows("heads", repo.branches), "tags": rows("tags", repo.tags), "converts": []}

    @route(r"GET /api/TYPE/ID/commits/(?P<revision>[^/]+)")
    def commits(self, repo: Repo, revision: str) -> Any:
        user = {"user": repo.id.split("/")[0]}
        return [
            {"id": c.oid, "title": c.title, "message": "", "date": c.date, "authors": [user]}
            for c in history_of(self._commit(repo, revision))
        ]

    @route(r"(POST|DELETE) /api/TYPE/ID/branch/(?P<branch>[^/]+)")
    def branch(self, repo: Repo, branch: str) -> Any:
        self._require_write(repo.id)
        return self._set_ref(
            repo, repo.branches, branch, json.loads(self.body or b"{}").get("startingPoint", "main")
        )

    @route(r"(POST|DELETE) /api/TYPE/ID/tag/(?P<revision>[^/]+)")
    def tag(self, repo: Repo, revision: str) -> Any:
        self._require_write(repo.id)
        name = json.loads(self.body or b"{}").get("tag", revision)
        return self._set_ref(repo, repo.tags, name, revision)

    def _set_ref(self, repo: Repo, refs: dict[str, Commit], name: str, start: str) -> Any:
        if self.command == "DELETE":
            refs.pop(name, None)
        elif name in refs:
            raise Refusal(409, f"Reference {name} already exists")
        else:
            refs[name] = self._commit(repo, start)
        return {}

    # ---- uploading

    @route("POST /api/validate-yaml")
    def validate_yaml(self) -> Any:
        wanted = json.loads(self.body)
        problems = problems_of(wanted["content"], wanted.get("repoType", "model"))
        errors = [{"message": problem} for problem in problems]
        if errors:
            return 400, json.dumps({"errors": errors, "warnings": []}).encode(), {}
        return {"errors": [], "warnings": []}

    @route(r"POST /api/TYPE/ID/preupload/(?P<revision>[^/]+)")
    def preupload(self, repo: Repo, revision: str) -> Any:
        self._require_write(repo.id)
        files = self._commit(repo, revision).files
        rows = []
        for wanted in json.loads(self.body)["files"]:
            path, large = wanted["path"], wanted["path"].endswith(LFS_SUFFIXES) or wanted["size"] > 1 << 20
            row = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            rows.append(row | ({"oid": files[path].etag} if path in files else {}))
        return {"files": rows}

    @route(r"POST /(?P<type>datasets/|spaces/)?ID\.git/info/lfs/objects/batch")
    def lfs_batch(self, repo: Repo) -> Any:
        self._require_write(repo.id)
        rows = []
        for wanted in json.loads(self.body)["objects"]:
            row = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.objects:
                href = f"{self.hub.url}/objects/{wanted['oid']}?signature={signature(wanted['oid'])}"
                row["actions"] = {"upload": {"href": href, "header": {}}}
            rows.append(row)
        return {"transfer": "basic", "objects": rows}

    @route(r"PUT /objects/(?P<oid>[0-9a-f]{64})")
    def put_object(self, oid: str) -> Any:
        if self.query.get("signature") != [signature(oid)]:
            raise Refusal(403, "The signature does not match")
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Refusal(400, "The content does not match its name")
        self.hub.objects[oid] = self.body
        return {}

    @route(r"POST /api/TYPE/ID/commit/(?P<revision>[^/]+)")
    def post_commit(self, repo: Repo, revision: str) -> Any:
        self._require_write(repo.id)
        lines = [json.loads(line) for line in self.body.splitlines() if line]
        header = next(line["value"] for line in lines if line["key"] == "header")
        parent, head = header.get("parentCommit"), self._commit(repo, revision)
        if parent and not head.oid.startswith(parent):
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        changes: dict[str, Entry | None] = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                data = base64.b64decode(value["content"])
                changes[value["path"]] = self.hub.store(value["path"], data, lfs=False)
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.hub.objects:
                    raise Refusal(400, f"{value['path']}: its object was never uploaded")
                changes[value["path"]] = self.hub.store(
                    value["path"], self.hub.objects[value["oid"]], lfs=True
                )
            elif line["key"].startswith("deleted"):
                start = value["path"].rstrip("/")
                gone = [name for name in head.files if name == start or name.startswith(start + "/")]
                changes |= dict.fromkeys(gone)
        commit = self.hub.commit(repo, revision, header["summary"], changes)
        prefix = "" if repo.type == "models" else f"{repo.type}/"
        return {
            "success": True, "commitOid": commit.oid, "hookOutput": "",
            "commitUrl": f"{self.hub.url}/{prefix}{repo.id}/commit/{commit.oid}",
        }  # fmt: skip

    # ---- downloading

    @route(r"(GET|HEAD) /(?P<type>datasets/|spaces/)?ID/(resolve|raw)/(?P<revision>[^/]+)/(?P<path>.+)")
    def resolve(self, repo: Repo, revision: str, path: str) -> Any:
        self._require_read(repo)
        commit = self._commit(repo, revision)
        if path not in commit.files:
            raise Refusal(404, f"{path} does not exist", "EntryNotFound")
        entry = commit.files[path]
        data = self.hub.objects[entry.sha256]
        headers = {
            "ETag": f'"{entry.etag}"', "X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
            **({"X-Linked-Size": str(entry.size), "X-Linked-Etag": f'"{entry.sha256}"'} if entry.lfs else {}),
        }  # fmt: skip
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted is None or self.command == "HEAD":
            return 200, data, headers
        first, last = int(wanted[1]), min(int(wanted[2] or len(data) - 1), len(data) - 1)
        if first >= len(data):
            return 416, b"", {"Content-Range": f"bytes */{len(data)}"}
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return 206, data[first : last + 1], headers


def signature(oid: str) -> str:
    return hashlib.sha256(f"signed {oid}".encode()).hexdigest()[:16]

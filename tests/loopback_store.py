"""What the loopback Hub remembers: objects by their content, commits of them, branches and tags."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import yaml

LFS_SUFFIXES = (".safetensors", ".png", ".jpg", ".parquet", ".onnx", ".npy", ".bin")
LICENSES = {
    "apache-2.0", "mit", "openrail", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0", "odbl", "gpl-3.0", "other", "unknown",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One file of a commit: where its bytes lie, and whether it is stored as a large file."""

    sha256: str
    size: int
    blob_id: str
    lfs: bool

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.blob_id


@dataclass(frozen=True)
class Commit:
    oid: str
    title: str
    files: dict[str, Entry]
    parent: Commit | None
    date: str


@dataclass
class Repo:
    type: str  # models, datasets, spaces
    id: str
    private: bool = False
    gated: bool = False
    branches: dict[str, Commit] = field(default_factory=dict)
    tags: dict[str, Commit] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)  # a Space's SDK, variables and secrets

    def find(self, revision: str) -> Commit | None:
        found = self.branches.get(revision) or self.tags.get(revision)
        commits = [c for head in [*self.branches.values(), *self.tags.values()] for c in history_of(head)]
        return found or next((c for c in commits if len(revision) >= 7 and c.oid.startswith(revision)), None)


def history_of(commit: Commit | None) -> list[Commit]:
    return [] if commit is None else [commit, *history_of(commit.parent)]


class Store:
    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.objects: dict[str, bytes] = {}
        self.repos: dict[tuple[str, str], Repo] = {}
        self.users: dict[str, tuple[str, bool]] = {}  # token -> name, may write
        self.clock = datetime(2026, 1, 1, tzinfo=timezone.utc)

    def add_user(self, name: str, write: bool = True) -> str:
        token = "hf_" + hashlib.sha256(f"{name}{write}".encode()).hexdigest()[:34]
        self.users[token] = (name, write)
        return token

    def add_repo(self, repo_id: str, files: dict[str, bytes], type: str = "models", **settings: Any) -> Repo:
        """Put a repository there without asking anybody; called again, add a commit."""
        repo = self.repos.setdefault((type, repo_id), Repo(type, repo_id))
        for name, value in settings.items():
            setattr(repo, name, value)
        self.commit(repo, "main", "commit", {path: self.store(path, data) for path, data in files.items()})
        return repo

    def files(self, repo_id: str, revision: str = "main", type: str = "models") -> dict[str, bytes]:
        commit = self.repos[type, repo_id].find(revision)
        assert commit is not None
        return {path: self.objects[entry.sha256] for path, entry in commit.files.items()}

    def history(self, repo_id: str, type: str = "models") -> list[Commit]:
        """The commits of main, the newest first."""
        return history_of(self.repos[type, repo_id].branches["main"])

    def store(self, path: str, data: bytes, lfs: bool | None = None) -> Entry:
        sha256 = hashlib.sha256(data).hexdigest()
        self.objects[sha256] = data
        lfs = path.endswith(LFS_SUFFIXES) if lfs is None else lfs
        kept = f"version https://git-lfs.github.com/spec/v1\n{sha256}".encode() if lfs else data
        blob_id = hashlib.sha1(b"blob %d\0" % len(kept) + kept).hexdigest()
        return Entry(sha256, len(data), blob_id, lfs)

    def commit(self, repo: Repo, branch: str, title: str, changes: dict[str, Entry | None]) -> Commit:
        parent = repo.branches.get(branch)
        files = {**(parent.files if parent else {}), **changes}
        kept = {path: entry for path, entry in files.items() if entry is not None}
        self.clock += timedelta(seconds=1)
        date = self.clock.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        oid = hashlib.sha1(f"{repo.type}{repo.id}{title}{date}{sorted(kept)}".encode()).hexdigest()
        repo.branches[branch] = Commit(oid, title, kept, parent, date)
        return repo.branches[branch]


def front_matter(text: str) -> dict[str, Any] | None:
    """The YAML block that opens a card; None where it is no mapping."""
    match = re.match(r"---\n(.*?)\n---\n", text, re.S)
    if match is None:
        return {}
    try:
        content = yaml.safe_load(match[1])
    except yaml.YAMLError:
        return None
    return content if isinstance(content, dict) else None


def problems_of(text: str, repo_type: str) -> list[str]:
    """What the Hub refuses in a card's front matter."""
    card = front_matter(text)
    if card is None:
        return ["the front matter is no YAML mapping"]
    problems = []
    if repo_type == "model" and "license" in card and card["license"] not in LICENSES:
        problems.append(f'"license" must be one of {sorted(LICENSES)}')
    for key in ("tags", "datasets"):
        if key in card and not (isinstance(card[key], list) and all(isinstance(v, str) for v in card[key])):
            problems.append(f'"{key}" must be an array of strings')
    if repo_type == "space" and not {"title", "emoji", "sdk"} <= set(card):
        problems.append('a Space needs "title", "emoji" and "sdk"')
    for model in card.get("model-index", []):
        for result in model.get("results", [{}]):
            needed = [
                ("name", model.get("name")),
                ("task.type", result.get("task", {}).get("type")),
                ("dataset.type", result.get("dataset", {}).get("type")),
                ("dataset.name", result.get("dataset", {}).get("name")),
                *(("metrics.type", metric.get("type")) for metric in result.get("metrics", [{}])),
            ]
            missing = [key for key, value in needed if not isinstance(value, str)]
            problems += [f'"model-index": {key} is required' for key in missing]
            if any(metric.get("value") is None for metric in result.get("metrics", [])):
                problems.append('"model-index": metrics.value is required')
    return problems

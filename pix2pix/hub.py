"""The Hub: publish a trained folder as a repository, and find what has been published.

publish("runs/map", "user/pix2pix-map")   # one commit; or PublishError with the command to push later
find_models(task="map")                   # what the Hub offers by tag, the newest first
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix import card, graphs, repository
from pix2pix.config import ModelConfig
from pix2pix.discover import Claim, FoundModel, find_models
from pix2pix.errors import ModelError, UserError
from pix2pix.files import replacing, write_json
from pix2pix.hub_access import api_for, check_access, open_repository, refuse_tokens
from pix2pix.patience import HubError, Say, brief, log, refusal, retry

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = [
    "Claim",
    "FoundModel",
    "HubError",
    "Publication",
    "PublishError",
    "PublishResult",
    "check_access",
    "find_models",
    "publish",
]

FILES = (
    "README.md",
    "config.json",
    "model.safetensors",
    "discriminator/config.json",
    "discriminator/model.safetensors",
    "metrics.json",
    "samples.png",
    "training_config.json",
)
"""All that is ever published, and the exported graphs of these very weights: no checkpoint, no log."""
PUSHED = "published.json"
"""Stays in the folder: the commit of the last push, by repository and branch."""


class PublishError(HubError):
    """A push that failed; nothing is lost. `command` pushes the folder later."""

    def __init__(self, reason: str, command: str):
        super().__init__(f"{reason}\nNothing is lost. To push it later, run:\n  {command}")
        self.command = command


@dataclass(frozen=True)
class PublishResult:
    commit: str
    url: str


def publish(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    message: str | None = None,
    revision: str = "main",
    parent_commit: str | None = None,
    token: str | None = None,
    say: Say = log,
) -> PublishResult:
    """Push a trained folder as one commit, and renew its card. What was pushed before stays in the history.

    A repository in which somebody else changed what would be overwritten is left alone, unless
    `parent_commit` names its newest commit. Raises PublishError, which knows the command to push later.
    """
    folder = Path(folder)
    command = ["pix2pix", "publish", "--model", str(folder), "--repo", repo_id]
    command += ["--private"] if private else []
    command += ["--revision", revision] if revision != "main" else []
    try:
        push = _Push(folder, repo_id, private, revision, parent_commit, message, api_for(token))
        result = retry(push, say=say)
    except _MovedOn as error:
        raise PublishError(str(error), shlex.join([*command, "--parent_commit", error.head])) from error
    except Exception as error:  # the upload has many layers, and none may end a training run in its own words
        reason = str(error) if isinstance(error, UserError) else refusal(error, repo_id)
        reason = reason or f"{folder} could not be pushed to {repo_id}: {brief(error)}."
        raise PublishError(reason, shlex.join(command)) from error
    try:
        write_json(folder / PUSHED, _pushed(folder) | {f"{repo_id}@{revision}": result.commit})
    except OSError as error:  # it was pushed all the same
        say(f"{folder / PUSHED} could not be written: {error}")
    return result


class Publication:
    """What a training run makes public: always its card, and pushes if it is to. Neither can end the run."""

    def __init__(self, folder: Path, repo_id: str | None, private: bool = False, say: Say = log):
        self.folder, self.repo_id, self.private, self.say = folder, repo_id, private, say
        self.failed = False
        """Whether the last push did not arrive."""

    def describe(self, facts: Mapping[str, Any]) -> None:
        """Renew the card with the run's facts (card_facts.run_facts)."""
        try:
            card.write_card(self.folder, self.repo_id, facts)
        except Exception as error:  # of jinja2 too, whose template an upgrade may change under a running run
            self.say(f"The card was not written: {type(error).__name__}: {error}")

    def push(self) -> None:
        """Push what is the best so far, if there is any."""
        if not (self.folder / "model.safetensors").is_file():
            return
        try:
            result = publish(self.folder, str(self.repo_id), private=self.private, say=self.say)
            self.failed = False
            self.say(f"Pushed to {result.url} at commit {result.commit[:12]}.")
        except PublishError as error:
            self.failed = True
            self.say(str(error))


class _MovedOn(HubError):
    def __init__(self, repo_id: str, head: str, changed: list[str]):
        self.head = head
        super().__init__(
            f"{repo_id} was changed by somebody else since the last push ({', '.join(changed)}). Look at its "
            "newest commit; to replace what it holds (it stays in the history), name that commit:"
        )


@dataclass(frozen=True)
class _Push:
    """One attempt to push. Repeating it does no harm: what has arrived is not sent again."""

    folder: Path
    repo_id: str
    private: bool
    revision: str
    parent: str | None
    message: str | None
    api: HfApi

    def __call__(self) -> PublishResult:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        missing = [name for name in repository.MODEL_FILES if not (self.folder / name).is_file()]
        if missing:
            raise ModelError(f"{self.folder} is no trained model: {' and '.join(missing)} is missing.")
        open_repository(self.api, self.repo_id, self.private, self.revision)
        head = self.api.model_info(self.repo_id, revision=self.revision, timeout=30).sha
        assert head is not None
        last = self.parent or _pushed(self.folder).get(f"{self.repo_id}@{self.revision}")
        now, before = self._tree(head), self._tree(last) if last else {}
        self._require_ours(head, last, now, before)
        self._renew_card(head, last, now, before)
        fitting = self._fitting_graphs()
        stale = self._stale_graphs(now, fitting)
        names = [name for name in FILES if (self.folder / name).is_file()] + fitting
        refuse_tokens(
            [self.folder / name for name in names if not name.endswith((".safetensors", ".png", ".onnx"))]
        )
        commit = self.api.create_commit(
            self.repo_id,
            [
                *(CommitOperationAdd(name, self.folder / name) for name in names),
                *(CommitOperationDelete(name) for name in stale),
            ],
            commit_message=self.message or _message(self.folder),
            revision=self.revision,
            parent_commit=head,
        )
        return PublishResult(commit.oid, f"{self.api.endpoint}/{self.repo_id}")

    def _fitting_graphs(self) -> list[str]:
        """The exported graphs in the folder that were made from its weights."""
        weights = self.folder / "model.safetensors"
        digest, size = graphs.sha256(weights), weights.stat().st_size
        config = ModelConfig.from_dict(repository.read_config(self.folder))
        return [
            name
            for precision, name in graphs.NAMES.items()
            if (self.folder / name).is_file()
            and not graphs.fault(self.folder / name, digest, size, config, precision)
        ]

    def _stale_graphs(self, now: dict[str, str], fitting: list[str]) -> list[str]:
        """Those in the repository that would stay behind beside other weights, and be of no use there."""
        if self._hash("model.safetensors", now) == now.get("model.safetensors"):
            return []
        return [name for name in graphs.NAMES.values() if name in now and name not in fitting]

    def _tree(self, commit: str) -> dict[str, str]:
        """The content hashes of a commit by file; {} where it no longer exists."""
        from huggingface_hub import RepoFile
        from huggingface_hub.errors import RevisionNotFoundError

        try:
            entries = list(self.api.list_repo_tree(self.repo_id, recursive=True, revision=commit))
        except RevisionNotFoundError:
            return {}
        return {e.path: repository.stated_hash(e) for e in entries if isinstance(e, RepoFile)}

    def _require_ours(self, head: str, last: str | None, now: dict[str, str], before: dict[str, str]) -> None:
        """Refuse to overwrite what this folder did not push and does not hold; the card is merged instead."""
        if self.parent is not None:
            if not head.startswith(self.parent):
                raise _MovedOn(self.repo_id, head, [f"{self.parent} is not its newest commit"])
            return
        if last is None:
            tags = self.api.model_info(self.repo_id, revision=self.revision).tags or []
            if "config.json" in now and card.TAG not in tags:
                raise _MovedOn(self.repo_id, head, ["it holds another kind of model"])
            return
        changed = [
            name
            for name in FILES
            if name != "README.md" and now.get(name) not in (None, before.get(name), self._hash(name, now))
        ]
        if changed:
            raise _MovedOn(self.repo_id, head, changed)

    def _hash(self, name: str, like: dict[str, str]) -> str | None:
        path = self.folder / name
        return repository.file_hash(path, len(like[name])) if name in like and path.is_file() else None

    def _renew_card(self, head: str, last: str | None, now: dict[str, str], before: dict[str, str]) -> None:
        """Bring the card up to date; where it was edited on the Hub, that text is the one to keep."""
        path = self.folder / "README.md"
        text = fresh = card.render(self.folder, self.repo_id)
        if path.exists():
            text = card.renewed(path.read_text(encoding="utf-8"), fresh)
        if "README.md" in now and (last is None or now["README.md"] != before.get("README.md")):
            there = self.api.hf_hub_download(self.repo_id, "README.md", revision=head)
            edited = card.renewed(Path(there).read_text(encoding="utf-8"), fresh)
            text = edited if edited != fresh else text
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _pushed(folder: Path) -> dict[str, str]:
    try:
        content = json.loads((folder / PUSHED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _message(folder: Path) -> str:
    path = folder / "metrics.json"
    best = json.loads(path.read_text(encoding="utf-8")).get("best") if path.exists() else None
    return f"Weights of step {best['step']}" if best and "step" in best else "Trained weights"

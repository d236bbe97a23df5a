"""The browser demo as a Hugging Face Space: one commit with exactly what it needs.

publish_space("user/pix2pix", models=["map=user/pix2pix-map"])   # or PublishError, with the command for later

The files of space_files.OURS belong to the demo: what is no longer in the checkout is removed from the Space,
and a Space in which somebody changed them is left alone unless `parent_commit` names its newest commit. All
other files in the Space are its owner's and stay, as do the title, colours and text of its README. Which
models it serves stands in the Space's variables (PIX2PIX_MODELS, PIX2PIX_HUB_OWNER), for its owner to change.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix import __version__, hub_access, offers, repository
from pix2pix.card_text import FRONT_MATTER
from pix2pix.errors import ConfigError, UserError
from pix2pix.hub import PublishError, PublishResult
from pix2pix.patience import HubError, Say, brief, limit_waiting, log, refusal, retry
from pix2pix.space_files import (
    BODY,
    OURS,
    TEXT,
    Checkout,
    digest_of,
    front_matter,
    is_text_of_ours,
    text_hashes,
)

if TYPE_CHECKING:
    from huggingface_hub import HfApi

FIXED = ("sdk", "sdk_version", "python_version", "app_file")
"""Keys of the front matter that belong to the code; the others are the owner's once they are there."""
MARK = re.compile(r"<!-- pix2pix:space ([0-9a-f]{40}) -->")


def publish_space(
    repo_id: str,
    *,
    models: Sequence[str] = (),
    hub_owner: str | None = None,
    private: bool = False,
    hardware: str | None = None,
    message: str | None = None,
    parent_commit: str | None = None,
    token: str | None = None,
    root: Path | None = None,
    say: Say = log,
) -> PublishResult:
    """Upload the demo as one commit; the Space is created if there is none.

    `models` are TASK=ID of the Hub, `hub_owner` whose models are found by tag; left out, the Space's own
    variables stay as they are. Raises ConfigError for what cannot be served there, UserError where there is
    no checkout, PublishError, which knows the command for later, where the Hub does not take it.
    """
    wanted = _hub_models(models)
    _require_hardware(hardware)
    owner = offers.wanted_owner(hub_owner, {})
    checkout = Checkout(root or Path(__file__).parent.parent)
    command = ["pix2pix", "publish-space", "--repo", repo_id]
    command += [word for model in models for word in ("--model", model)]
    command += ["--hub_owner", owner] if owner else []
    command += ["--private"] if private else []
    command += ["--hardware", hardware] if hardware else []
    variables = {offers.MODELS_VARIABLE: ",".join(wanted), offers.OWNER_VARIABLE: owner}
    try:
        given = {name: value for name, value in variables.items() if value}
        push = _Push(checkout, repo_id, private, hardware, wanted, given, parent_commit, message, token)
        result = retry(push, say=say)
    except _Changed as error:
        raise PublishError(str(error), shlex.join([*command, "--parent_commit", error.head])) from error
    except Exception as error:  # the upload has many layers, and each has words of its own
        reason = str(error) if isinstance(error, UserError) else refusal(error, repo_id)
        reason = reason or f"The demo could not be pushed to {repo_id}: {brief(error)}."
        raise PublishError(reason, shlex.join(command)) from error
    if hardware is not None:
        _request_hardware(push.api, repo_id, hardware)
    return result


def _hub_models(models: Sequence[str]) -> list[str]:
    """The settings, once it is clear that a Space can follow them."""
    offers.wanted_models(
        [model for model in models if not _is_hub_model(model)], {}
    )  # says what is malformed
    for model in models:
        if not _is_hub_model(model):
            task, _, folder = model.partition("=")
            raise ConfigError(
                f"--model {model}: a Space cannot see a folder of yours. Push it first, then name its id:\n"
                f"  pix2pix publish --model {shlex.quote(folder)} --repo USER/pix2pix-{task}"
            )
    return [model.replace(" ", "") for model in models]


def _is_hub_model(model: str) -> bool:
    task, _, source = (part.strip() for part in model.partition("="))
    return task in offers.TASKS and bool(offers.HUB_ID.fullmatch(source))


def _require_hardware(hardware: str | None) -> None:
    from huggingface_hub import SpaceHardware

    known = [str(flavor.value) for flavor in SpaceHardware]
    if hardware is not None and hardware not in known:
        raise ConfigError(f"--hardware is {hardware!r}; it must be one of {', '.join(known)}.")


def _request_hardware(api: HfApi, repo_id: str, hardware: str) -> None:
    from huggingface_hub import SpaceHardware
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.request_space_hardware(repo_id, SpaceHardware(hardware))
    except (HfHubHTTPError, OSError) as error:
        raise HubError(
            f"{repo_id} was published, but does not run on {hardware}: {brief(error)}. "
            "Choose its hardware in the Space's settings."
        ) from error


class _Changed(HubError):
    def __init__(self, repo_id: str, head: str, what: str):
        self.head = head
        super().__init__(
            f"{repo_id} {what}. Look at its newest commit; to replace what it holds (it stays in the "
            "history), name that commit:"
        )


@dataclass
class _Push:
    """One attempt. Repeating it does no harm: what has arrived is not sent again."""

    checkout: Checkout
    repo_id: str
    private: bool
    hardware: str | None
    models: list[str]
    variables: Mapping[str, str]
    parent: str | None
    message: str | None
    token: str | None

    def __post_init__(self) -> None:
        self.api = hub_access.api_for(self.token)

    def __call__(self) -> PublishResult:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        files = self.checkout.files(self.hardware)
        hub_access.refuse_tokens(
            [path for path in files.values() if isinstance(path, Path) and path.suffix in TEXT]
        )
        self._open()
        head = str(self.api.space_info(self.repo_id, timeout=30).sha)
        there = self._tree(head)
        before = self._readme(head) if "README.md" in there else ""
        self._require_ours(head, there, before)
        readme = self._new_readme(before, digest_of(text_hashes(files)))
        for name, value in self.variables.items():
            self.api.add_space_variable(self.repo_id, name, value)
        added = [CommitOperationAdd(name, source) for name, source in (files | {"README.md": readme}).items()]
        gone = [CommitOperationDelete(name) for name in there if name.startswith(OURS) and name not in files]
        commit = self.api.create_commit(
            self.repo_id,
            [*added, *gone],
            commit_message=self.message or f"The demo of pix2pix {__version__}",
            repo_type="space",
            parent_commit=head,
        )
        return PublishResult(commit.oid, f"{self.api.endpoint}/spaces/{self.repo_id}")

    def _open(self) -> None:
        """Create the Space where there is none, and make sure that this token may write to it."""
        if not offers.HUB_ID.fullmatch(self.repo_id):
            raise HubError(f"{self.repo_id!r} is no Space's id; it must be like user/pix2pix.")
        if not self.api.token:
            raise HubError(
                f"There is no token to write to {self.repo_id} with. Run: hf auth login   (or set HF_TOKEN)"
            )
        limit_waiting()
        self.api.create_repo(
            self.repo_id, repo_type="space", space_sdk="gradio", private=self.private or None, exist_ok=True
        )
        self.api.auth_check(self.repo_id, repo_type="space", write=True)
        if self.private and not self.api.space_info(self.repo_id, timeout=30).private:
            raise HubError(
                f"{self.repo_id} exists and is public, but the demo is to be private. Name another Space, or "
                "change its visibility in its settings."
            )

    def _tree(self, commit: str) -> dict[str, str]:
        """The Space's files with their content hashes."""
        from huggingface_hub import RepoFile

        entries = self.api.list_repo_tree(self.repo_id, recursive=True, revision=commit, repo_type="space")
        return {e.path: repository.stated_hash(e) for e in entries if isinstance(e, RepoFile)}

    def _readme(self, commit: str) -> str:
        there = self.api.hf_hub_download(self.repo_id, "README.md", revision=commit, repo_type="space")
        return Path(there).read_text(encoding="utf-8")

    def _require_ours(self, head: str, there: Mapping[str, str], readme: str) -> None:
        """Refuse to overwrite another app, or changes that somebody made to this one."""
        if self.parent is not None:
            if not head.startswith(self.parent):
                raise _Changed(self.repo_id, head, f"has a newer commit than {self.parent}")
            return
        mark = MARK.search(readme)
        if mark is None:
            others = sorted(set(there) - {"README.md", ".gitattributes"})  # a new Space comes with these
            if others:
                raise _Changed(self.repo_id, head, f"holds something else ({', '.join(others[:5])})")
        elif mark[1] != digest_of({name: there[name] for name in there if is_text_of_ours(name)}):
            raise _Changed(self.repo_id, head, "holds files of the demo that somebody changed in the Space")

    def _new_readme(self, before: str, digest: str) -> bytes:
        """README.md: the code's keys anew, the owner's values and text as they are."""
        import yaml
        from huggingface_hub.utils import yaml_dump

        ids = [model.partition("=")[2] for model in self.models]
        fresh = front_matter(self.checkout.requirements, ids, self.hardware)
        body = BODY
        if MARK.search(before):
            match = FRONT_MATTER.match(before)
            try:
                known = (yaml.safe_load(match[1]) if match else None) or {}
            except yaml.YAMLError as error:
                raise HubError(f"The README.md of {self.repo_id} cannot be read: {brief(error)}.") from error
            ours = {*FIXED, *(["models"] if ids else []), *(["suggested_hardware"] if self.hardware else [])}
            fresh |= {key: value for key, value in known.items() if key not in ours}
            body = before[match.end() :] if match else before
        marked = f"<!-- pix2pix:space {digest} -->"
        text = MARK.sub(marked, body) if MARK.search(body) else f"{body}\n{marked}\n"
        return f"---\n{yaml_dump(fresh, sort_keys=False).strip()}\n---\n{text}".encode()

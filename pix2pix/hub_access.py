"""Before anything is sent to the Hub: who we are, whether we may write there, and that no secret goes along.

check_access("user/pix2pix-map")   # before hours of training: True, False without the Hub, or HubError
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix.patience import HubError, Say, brief, limit_waiting, log, refusal, retry

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TOKEN = re.compile(r"hf_[A-Za-z0-9]{30,}")


def check_access(
    repo_id: str,
    private: bool = False,
    *,
    license: str | None = None,
    token: str | None = None,
    say: Say = log,
) -> bool:
    """Make sure, before hours of training, that a push will be let in; the repository is created if needed.

    Returns False, after a warning, when the Hub cannot be reached. Raises HubError when there is no token, it
    is refused or may not write, when a private model would become public, or the Hub knows no such license.
    """
    api = api_for(token)
    try:
        retry(lambda: open_repository(api, repo_id, private), attempts=3, say=say)
        if license is not None:
            _check_license(license)
    except HubError:
        raise
    except Exception as error:
        reason = refusal(error, repo_id)
        if reason:
            raise HubError(reason) from error
        say(f"The Hub cannot be reached ({brief(error)}). Training goes on; the push is tried later.")
        return False
    return True


def api_for(token: str | None) -> HfApi:
    """The Hub, as who holds `token`, or else the one that this machine is logged in with."""
    from huggingface_hub import HfApi, __version__, get_token

    return HfApi(token=token or get_token(), library_name="pix2pix", library_version=__version__)


def open_repository(api: HfApi, repo_id: str, private: bool, revision: str = "main") -> None:
    """Create the repository or branch where there is none, and make sure that this token may write to it."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id):
        raise HubError(f"{repo_id!r} is no repository id; it must be like user/pix2pix-map.")
    if not api.token:
        raise HubError(
            f"There is no token to write to {repo_id} with. Run: hf auth login   (or set HF_TOKEN)"
        )
    limit_waiting()
    api.create_repo(repo_id, private=private or None, exist_ok=True)
    api.auth_check(repo_id, write=True)
    if private and not api.model_info(repo_id, timeout=30).private:
        raise HubError(
            f"{repo_id} exists and is public, but the model is to be private. Name another repository, or "
            "change its visibility in its settings."
        )
    if revision != "main":
        api.create_branch(repo_id, branch=revision, exist_ok=True)


def _check_license(license: str) -> None:
    from huggingface_hub import ModelCard

    try:
        ModelCard(f"---\nlicense: {license}\n---\n").validate()
    except ValueError as error:
        raise HubError(
            f"--license {license}: the Hub knows no such license. Give an id of "
            "https://hf.co/docs/hub/repositories-licenses, such as apache-2.0, cc-by-4.0 or other."
        ) from error


def refuse_tokens(paths: list[Path]) -> None:
    """Raise HubError, naming the file, where one of these text files holds an access token."""
    for path in paths:
        if TOKEN.search(path.read_text(encoding="utf-8")):
            raise HubError(f"{path} holds an access token. Remove it: what is pushed, everybody can read.")

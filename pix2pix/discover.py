"""What the Hub offers: models with our tags, and what their cards claim."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pix2pix.card import TAG
from pix2pix.errors import ConfigError
from pix2pix.patience import HubError, brief, limit_waiting
from pix2pix.tasks import get_task


@dataclass(frozen=True)
class Claim:
    """A figure that a card reports about its own model. Nobody has checked it."""

    metric: str
    value: float
    dataset: str
    split: str | None
    images: int | None
    interval_95: tuple[float, float] | None


@dataclass(frozen=True)
class FoundModel:
    repo_id: str
    task: str
    revision: str
    license: str | None
    modified: datetime | None
    downloads: int
    likes: int
    private: bool
    gated: bool
    claims: tuple[Claim, ...]


SORTS: dict[str, Any] = {"newest": "last_modified", "downloads": "downloads", "likes": "likes"}


def find_models(
    task: str | None = None,
    owner: str | None = None,
    sort: str = "newest",
    *,
    limit: int = 100,
    token: str | None = None,
) -> list[FoundModel]:
    """List the Hub's models with our tags.

    Raises ConfigError for an argument that cannot be, HubError when the Hub cannot be asked.
    """
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if sort not in SORTS:
        raise ConfigError(f"sort is {sort!r}; it must be one of {', '.join(SORTS)}.")
    tags = [TAG] if task is None else [TAG, f"{TAG}-task:{get_task(task).id}"]
    wanted: Any = ["cardData", "downloads", "gated", "lastModified", "likes", "private", "sha", "tags"]
    limit_waiting()
    try:
        found = HfApi(token=token).list_models(
            filter=tags, author=owner, sort=SORTS[sort], limit=limit, expand=wanted
        )
        return [_found(info) for info in found if info.sha]
    except (httpx2.HTTPError, HfHubHTTPError, OSError) as error:
        raise HubError(
            f"The Hub cannot be asked for models: {brief(error)}. Check your connection."
        ) from error


def _found(info: Any) -> FoundModel:
    prefix = f"{TAG}-task:"
    task = next((tag.removeprefix(prefix) for tag in info.tags or [] if tag.startswith(prefix)), "custom")
    license = info.card_data.get("license") if info.card_data else None
    return FoundModel(
        repo_id=info.id,
        task=task,
        revision=info.sha,
        license=license if isinstance(license, str) else None,
        modified=info.last_modified,
        downloads=info.downloads or 0,
        likes=info.likes or 0,
        private=bool(info.private),
        gated=bool(info.gated),
        claims=tuple(_claims(info.card_data)),
    )


def _claims(card_data: Any) -> Iterator[Claim]:
    """The figures of a card's model-index that can be read; a stranger wrote it: anything may stand there."""
    for result in (card_data.get("eval_results") if card_data else None) or []:
        facts = result.metric_args if isinstance(result.metric_args, dict) else {}
        value, ends = result.metric_value, facts.get("interval_95")
        if not _is_number(value):
            continue
        interval = None
        if isinstance(ends, list) and len(ends) == 2 and all(map(_is_number, ends)):
            interval = float(ends[0]), float(ends[1])
        images = facts.get("images")
        yield Claim(
            metric=str(result.metric_type),
            value=float(value),
            dataset=str(result.dataset_name),
            split=result.dataset_split,
            images=images if isinstance(images, int) else None,
            interval_95=interval,
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

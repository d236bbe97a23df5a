"""Talking to a Hub that is slow, busy or gone: what is worth another try, and what to tell the user."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TypeVar

from pix2pix.errors import UserError

ATTEMPTS, FIRST_WAIT, LONGEST_WAIT = 6, 1.0, 120.0
"""Tries, the seconds before the second one, doubled each time, and the longest wait that is obeyed."""
TRANSIENT = (408, 429, 500, 502, 503, 504)
MOVED = (409, 412)
"""Somebody else pushed in this very moment: look again."""

Result = TypeVar("Result")
Say = Callable[[str], None]
log: Say = logging.getLogger("pix2pix").warning


class HubError(UserError):
    """The Hub refuses, or cannot be reached."""


def retry(action: Callable[[], Result], *, attempts: int = ATTEMPTS, say: Say = log) -> Result:
    """Repeat what fails for a passing reason, with growing waits, or as long as the Hub asks for."""
    for attempt in range(1, attempts + 1):
        try:
            return action()
        except Exception as error:
            wait = _wait(error, FIRST_WAIT * 2 ** (attempt - 1))
            if wait is None or attempt == attempts:
                raise
            say(f"The Hub: {brief(error)}. Trying again in {wait:.0f} s ({attempt} of {attempts - 1}).")
            time.sleep(wait)
    raise AssertionError("unreachable")


def _wait(error: BaseException, usual: float) -> float | None:
    """Seconds to wait before another try; None where none would help."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    for cause in _causes(error):
        if isinstance(cause, HfHubHTTPError) and cause.response is not None:
            status = cause.response.status_code
            if status in MOVED:
                return 0.0
            asked = _retry_after(cause.response.headers.get("Retry-After"))
            if status not in TRANSIENT or (asked or 0) > LONGEST_WAIT:
                return None
            return usual if asked is None else asked
        if isinstance(cause, httpx2.TransportError | TimeoutError):
            return usual
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from: an upload hides the reason behind a RuntimeError."""
    while error is not None:
        yield error
        error = error.__cause__


def _retry_after(value: str | None) -> float | None:
    """Retry-After, which is a number of seconds or a date."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds())
    except (TypeError, ValueError):
        return None


def refusal(error: BaseException, repo_id: str) -> str | None:
    """What the Hub refused and what to do; None where it did not refuse but fail."""
    from huggingface_hub.errors import HfHubHTTPError

    for cause in _causes(error):
        if isinstance(cause, ValueError) and "README" in str(cause):
            return f"The Hub refuses the card of {repo_id}. {cause}"
        if isinstance(cause, HfHubHTTPError) and cause.response is not None:
            status = cause.response.status_code
            if status == 401:
                return "The Hub refused the token (401). Get another, then run: hf auth login --force"
            if status == 403:
                owner = repo_id.split("/")[0]
                return f"The token may not write to {repo_id} (403). It needs write access to {owner!r}."
            if status in (400, 404):
                return f"The Hub refused {repo_id}: {brief(cause)}."
    return None


def brief(error: BaseException) -> str:
    """An error's own reason, in one line."""
    from huggingface_hub.errors import HfHubHTTPError

    if "Error while uploading" in str(error):
        error = list(_causes(error))[-1]
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        return f"{error.response.status_code} {error.server_message or error.response.reason_phrase}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")


def limit_waiting() -> None:
    """The client waits for ever for a Hub that says nothing; a training run must not."""
    import httpx2
    from huggingface_hub.utils import get_session

    session = get_session()
    if session.timeout == httpx2.Timeout(None):
        session.timeout = httpx2.Timeout(60, read=300)

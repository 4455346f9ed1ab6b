"""Calls of the Hub client: names checked, requests retried, errors translated. Imports no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, untyped

from mnistzoo.errors import HubError, InputError, MnistZooError

RETRY_SECONDS = 10.0
"""A rejected request is not repeated after this time."""

RETRYABLE_STATUSES = frozenset({429, 500, 502, 503, 504})
"""HTTP statuses that may be temporary."""

CONFLICT = 412
"""Status of a commit whose parent is no longer the newest."""

T = TypeVar("T")

_OFFLINE = (
    "{repo_id} at {revision} is not in the cache, and offline mode forbids requests "
    "(local_files_only, or HF_HUB_OFFLINE). Go online and try again. A pulled model then works "
    "offline."
)

_BY_ERROR: tuple[tuple[type[Exception], str], ...] = (
    (
        GatedRepoError,
        "{repo_id} is gated. Ask for access on {page}, then pass a token of that account "
        "(token=, or HF_TOKEN).",
    ),
    (
        RepositoryNotFoundError,
        "There is no repository {repo_id}, or it is private. Check the name. For a private "
        "repository, pass a token that may read it (token=, or HF_TOKEN).",
    ),
    (
        RevisionNotFoundError,
        "{repo_id} has no revision {revision}. Name one of its branches, tags or commits.",
    ),
    (
        RemoteEntryNotFoundError,
        "{repo_id} at {revision} holds no model of this library. Expected the files config.json "
        "and model.safetensors.",
    ),
    (OfflineModeIsEnabled, _OFFLINE),
    (LocalEntryNotFoundError, _OFFLINE),
    (RevisionResolutionError, _OFFLINE),
)

_BY_STATUS = {
    401: "The token for {repo_id} is missing or invalid. Pass one (token=, or HF_TOKEN).",
    403: "The token has no permission for that on {repo_id}. Pass one that has (token=, or "
    "HF_TOKEN).",
    CONFLICT: "Others keep changing {repo_id}. Try again.",
    429: "Too many requests to the Hub. Wait a few minutes, then try again.",
}


def check_repo_id(repo_id: str) -> None:
    """Check that a repository's name has the form `user/name`.

    >>> check_repo_id("just-a-name")
    Traceback (most recent call last):
    mnistzoo.errors.InputError: Expected a repository as "user/name", got 'just-a-name'.

    Raises:
        InputError: It has another form.
    """
    with suppress(HFValidationError):
        validate_repo_id(repo_id)
        if "/" in str(repo_id):
            return
    raise InputError(f'Expected a repository as "user/name", got {repo_id!r}.')


def with_retries(call: Callable[[], T], statuses: frozenset[int]) -> T:
    """Call, and repeat for `RETRY_SECONDS` while the Hub responds with one of these statuses.

    The client itself repeats most requests, but not commits, new repositories, or file contents
    after a server error.
    """
    started, pause = time.monotonic(), 1.0
    while True:
        try:
            return call()
        except Exception as error:  # the client and its HTTP library raise many kinds
            late = time.monotonic() + pause > started + RETRY_SECONDS
            if late or _status(error) not in statuses:
                raise
        time.sleep(pause)
        pause *= 2


def _cause(error: BaseException) -> BaseException:
    """Return the underlying error of one that only says that the client failed."""
    wrappers = (LocalEntryNotFoundError, RevisionResolutionError, ValueError)
    return error.__cause__ or error if isinstance(error, wrappers) else error


def _status(error: BaseException) -> int | None:
    """Return the HTTP status that caused an error, if there is one."""
    return getattr(getattr(_cause(error), "response", None), "status_code", None)


@contextmanager
def translate_hub_errors(repo_id: str, revision: str | None) -> Iterator[None]:
    """Turn every error of the client into a `HubError` that says what to do."""
    try:
        yield
    except MnistZooError:
        raise
    except Exception as error:  # as above
        raise HubError(_explain(_cause(error), repo_id, revision or "main")) from error


def _explain(error: BaseException, repo_id: str, revision: str) -> str:
    status = _status(error)
    text = next((text for kind, text in _BY_ERROR if isinstance(error, kind)), None)
    text = text or _BY_STATUS.get(status or 0)
    if text is None:
        what = f"status {status}" if status else type(error).__name__
        reason = next(iter(str(error).strip().splitlines()), "")
        return (
            f"The Hub request for {repo_id} failed with {what}: {reason.rstrip('.')}. "
            "Check the connection and the disk, then try again."
        )
    page = f"{constants.ENDPOINT}/{repo_id}"
    return text.format(repo_id=repo_id, revision=revision, page=page)

"""Calls of the Hub client: retried where that helps, explained where they fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

from mnistzoo.errors import HubError, InputError, MnistZooError

RETRY_SECONDS = 10.0
"""Seconds after which a request that the Hub refuses for the moment is not made again."""

RETRYABLE_STATUSES = frozenset({429, 500, 502, 503, 504})
"""The statuses of a refusal that may pass."""

CONFLICT = 412
"""The status of a commit whose parent is no longer the newest."""

T = TypeVar("T")

_OFFLINE = (
    "{repo_id} at {revision} is not in the cache, and the Hub may not be asked (local_files_only, "
    "or HF_HUB_OFFLINE); go online, once for a pull, each time for a push."
)

_BY_ERROR: tuple[tuple[type[Exception], str], ...] = (
    (
        GatedRepoError,
        "{repo_id} is gated; ask for access on {page}, then give a token of that account "
        "(token=, or HF_TOKEN).",
    ),
    (
        RepositoryNotFoundError,
        "there is no repository {repo_id}, or it is private; check the name, and for a private "
        "one give a token that may read it (token=, or HF_TOKEN).",
    ),
    (
        RevisionNotFoundError,
        "{repo_id} has no revision {revision}; name a branch, a tag or a commit of it.",
    ),
    (
        RemoteEntryNotFoundError,
        "{repo_id} at {revision} does not hold a network of this library; expected the files "
        "config.json and model.safetensors.",
    ),
    (OfflineModeIsEnabled, _OFFLINE),
    (LocalEntryNotFoundError, _OFFLINE),
    (RevisionResolutionError, _OFFLINE),
)

_BY_STATUS = {
    401: "the token for {repo_id} is missing or not valid; give one (token=, or HF_TOKEN).",
    403: "the token may not do that with {repo_id}; give one with the right to (token=, or "
    "HF_TOKEN).",
    CONFLICT: "others keep changing {repo_id}; try again.",
    429: "too many requests to the Hub for now; wait some minutes, then try again.",
}


def with_retries(call: Callable[[], T], again: frozenset[int]) -> T:
    """Call until the Hub no longer refuses for the moment, for `RETRY_SECONDS` seconds at most.

    The client itself repeats most requests, but not those for a commit, a repository or a file's
    content after an error of the server.
    """
    started, pause = time.monotonic(), 1.0
    while True:
        try:
            return call()
        except Exception as error:
            late = time.monotonic() + pause > started + RETRY_SECONDS
            if late or _status(error) not in again:
                raise
        time.sleep(pause)
        pause *= 2


def _root(error: BaseException) -> BaseException:
    """What is behind an error in which the client only says that it could do nothing."""
    wrappers = (LocalEntryNotFoundError, RevisionResolutionError, ValueError)
    return error.__cause__ or error if isinstance(error, wrappers) else error


def _status(error: BaseException) -> int | None:
    """The HTTP status that caused an error, if one did."""
    return getattr(getattr(_root(error), "response", None), "status_code", None)


@contextmanager
def translate_hub_errors(repo_id: str, revision: str | None) -> Iterator[None]:
    """Turn whatever the client raises into one error that says what to do."""
    try:
        yield
    except MnistZooError:
        raise
    except HFValidationError as error:
        raise InputError(f'a repository of the Hub is named "user/name": {error}') from error
    except Exception as error:
        raise HubError(_explain(_root(error), repo_id, revision or "main")) from error


def _explain(error: BaseException, repo_id: str, revision: str) -> str:
    status = _status(error)
    text = next((text for kind, text in _BY_ERROR if isinstance(error, kind)), None)
    text = text or _BY_STATUS.get(status or 0)
    if text is None:
        what = f"status {status}" if status else type(error).__name__
        said = next(iter(str(error).strip().splitlines()), "")
        return (
            f"the exchange with the Hub about {repo_id} failed with {what}: {said.rstrip('.')}; "
            "check the connection and the disk, then try again."
        )
    page = f"{constants.ENDPOINT}/{repo_id}"
    return text.format(repo_id=repo_id, revision=revision, page=page)

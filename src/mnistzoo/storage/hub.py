"""Push to and pull from the Hugging Face Hub, through its own client.

Files are bytes here: `model_folder` makes and checks them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, ModelInfo
from huggingface_hub.errors import EntryNotFoundError

from mnistzoo._version import __version__
from mnistzoo.errors import InputError
from mnistzoo.storage.edited_card import merge_card
from mnistzoo.storage.hub_client import (
    CONFLICT,
    RETRYABLE_STATUSES,
    check_repo_id,
    translate_hub_errors,
    with_retries,
)
from mnistzoo.storage.hub_commit import HubCommit, check_commit
from mnistzoo.storage.model_card import insert_repo_id, is_generated
from mnistzoo.storage.model_folder import CARD, CONFIG, WEIGHTS


@dataclass(frozen=True)
class PullResult:
    """One commit of a repository.

    Attributes:
        repo_id: `user/name`.
        commit: Its 40 hexadecimal digits.
        files: The content of its files, by name.
    """

    repo_id: str
    commit: str
    files: dict[str, bytes]

    @property
    def source(self) -> str:
        """Repository and commit, for messages."""
        return f"{self.repo_id} at {self.commit}"


@dataclass(frozen=True)
class PushResult:
    """The outcome of a push.

    Attributes:
        repo_id: `user/name`.
        commit: The commit that holds the model.
        url: Its page.
        changed: Whether the push created it. Otherwise the same files were there already.
        card_kept: Whether the text of an edited card was kept.
    """

    repo_id: str
    commit: str
    url: str
    changed: bool
    card_kept: bool


def pull(
    repo_id: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
    with_card: bool = False,
) -> PullResult:
    """Return the files of one commit, from the cache or the Hub.

    A branch or tag is resolved to its commit once. A cached commit, given by its 40 digits, needs
    no request. If the Hub cannot be reached, the commit that was pulled last is used.

    Args:
        repo_id: `user/name`.
        revision: A branch, tag or commit. Default: `main`.
        token: See `huggingface_hub`.
        cache_dir: See `huggingface_hub`.
        force_download: Download files even if they are cached.
        local_files_only: Make no request.
        with_card: Include the card, if there is one.

    Raises:
        InputError: An argument is invalid.
        HubError: The Hub or the cache does not have the files, or the Hub rejects a request.
        WeightsError: A file is too large, or its digest differs from the Hub's.
    """
    check_repo_id(repo_id)
    if force_download and local_files_only:
        raise InputError("Expected force_download or local_files_only, got both. Pass one.")
    api = _client(token)
    cache = None if cache_dir is None else Path(cache_dir)
    resolve = partial(
        api.resolve_revision,
        repo_id,
        revision=revision,
        cache_dir=cache,
        local_files_only=local_files_only,
    )
    with translate_hub_errors(repo_id, revision):
        commit = check_commit(with_retries(resolve, RETRYABLE_STATUSES).resolved)
        there = HubCommit(api, repo_id, commit, cache, force_download, local_files_only)
        files = {name: there.read(name) for name in (CONFIG, WEIGHTS)}
        if with_card:
            with suppress(EntryNotFoundError):
                files[CARD] = there.read(CARD)
    return PullResult(repo_id, commit, files)


def _client(token: str | bool | None) -> HfApi:
    """Return the Hub's client.

    Raises:
        InputError: The token is empty, for example from an unset variable.
    """
    if token == "":
        raise InputError(
            "Expected an access token, got an empty one. Leave it out to use HF_TOKEN or the "
            "stored login."
        )
    return HfApi(token=token, library_name="mnistzoo", library_version=__version__)


def push(
    repo_id: str,
    files: dict[str, bytes],
    *,
    revision: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    commit_message: str | None = None,
    create_pr: bool = False,
) -> PushResult:
    """Commit `files` to a repository, unless it holds them already.

    The repository and the branch are created if they do not exist. An edited card there keeps its
    text, see `merge_card`. If someone else commits meanwhile, the push is repeated on top of that.

    Args:
        repo_id: `user/name`.
        files: `config.json`, `model.safetensors` and `README.md`.
        revision: A branch. Default: `main`.
        private: Make a new repository private.
        token: Access token that may write. See `huggingface_hub`.
        commit_message: Title of the commit.
        create_pr: Open a pull request instead of committing.

    Raises:
        InputError: `repo_id` or the metadata of an edited card is invalid.
        HubError: The Hub rejects a request.
    """
    check_repo_id(repo_id)
    api = _client(token)

    def attempt() -> PushResult:
        api.create_repo(repo_id, private=private, exist_ok=True)
        if revision not in (None, "main") and not create_pr:
            api.create_branch(repo_id, branch=str(revision), exist_ok=True)
        parent = api.model_info(repo_id, revision=revision)
        to_commit, card_kept = _merge_with(api, parent, files)
        made = api.create_commit(
            repo_id,
            [CommitOperationAdd(name, data) for name, data in to_commit.items()],
            commit_message=commit_message or f"Upload with mnistzoo {__version__}",
            revision=revision,
            create_pr=create_pr,
            parent_commit=parent.sha,
        )
        url = made.pr_url or made.commit_url
        return PushResult(repo_id, made.oid, url, made.oid != parent.sha, card_kept)

    # If a response were lost, a retry would open a second pull request.
    statuses = frozenset({429}) if create_pr else RETRYABLE_STATUSES
    with translate_hub_errors(repo_id, revision):
        return with_retries(attempt, statuses | {CONFLICT})


def _merge_with(
    api: HfApi, parent: ModelInfo, files: dict[str, bytes]
) -> tuple[dict[str, bytes], bool]:
    """Return the files to commit on top of `parent`, and whether an edited card is kept."""
    names = {file.rfilename for file in parent.siblings or ()}
    there = HubCommit(api, parent.id, check_commit(parent.sha))
    files = {**files, CARD: insert_repo_id(files[CARD], parent.id)}
    if CARD not in names:
        return files, False
    if not there.is_small(CARD):  # too large to be generated, so it is kept
        del files[CARD]
        return files, True
    card = there.read(CARD)
    if is_generated(card):
        return files, False
    config = there.read(CONFIG) if CONFIG in names and there.is_small(CONFIG) else None
    return merge_card(files, card, config), True

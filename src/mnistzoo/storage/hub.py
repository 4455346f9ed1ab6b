"""Push and pull with the Hugging Face Hub, through its own client.

Files come and go as bytes: `checkpoint` reads and checks what was pulled, and makes what is pushed.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi, ModelInfo, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError

from mnistzoo._version import __version__
from mnistzoo.errors import HubError, InputError, WeightsError
from mnistzoo.files import read_bytes, sha256
from mnistzoo.storage.hub_errors import (
    CONFLICT,
    RETRYABLE_STATUSES,
    translate_hub_errors,
    with_retries,
)
from mnistzoo.storage.model_card import address, is_generated
from mnistzoo.storage.model_folder import CARD, CONFIG, LIMITS, WEIGHTS

_COMMIT = re.compile("[0-9a-f]{40}")
_LFS = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class PullResult:
    """One commit of a repository, in the cache.

    Attributes:
        repo_id: `user/name`.
        commit: its 40 hexadecimal digits.
        files: the bytes of its files, by name.
    """

    repo_id: str
    commit: str
    files: dict[str, bytes]


@dataclass(frozen=True)
class PushResult:
    """What a push has done.

    Attributes:
        repo_id: `user/name`.
        commit: the commit that now holds the network.
        url: its page.
        changed: whether the push made it, or it was there already.
        card_kept: whether the repository's card was left as its owner has edited it.
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
    """The files of one commit, from the cache where they are there, else from the Hub.

    A branch or a tag is resolved to its commit once; with the 40 digits of a commit that is in the
    cache, no request is made. If the Hub cannot be reached, the commit pulled last is taken.

    Args:
        repo_id: `user/name`.
        revision: a branch, a tag or a commit; `main` if nothing is given.
        token: see `huggingface_hub`.
        cache_dir: see `huggingface_hub`.
        force_download: download again what is in the cache.
        local_files_only: make no request.
        with_card: bring the card too, if there is one.

    Raises:
        InputError: an argument is not what it should be.
        HubError: the Hub or the cache does not have the files, or does not give them.
        WeightsError: a file is larger than it may be, or has another digest than the Hub states.
    """
    _check(repo_id)
    if force_download and local_files_only:
        raise InputError("force_download needs the Hub, local_files_only forbids it; pass one.")
    api = HfApi(token=token, library_name="mnistzoo", library_version=__version__)
    cache = None if cache_dir is None else Path(cache_dir)
    resolve = partial(
        api.resolve_revision,
        repo_id,
        revision=revision,
        cache_dir=cache,
        local_files_only=local_files_only,
    )
    with translate_hub_errors(repo_id, revision):
        commit = _full(with_retries(resolve, RETRYABLE_STATUSES).resolved)
        tree = _Tree(api, repo_id, commit, cache, force_download, local_files_only)
        files = {name: tree.read(name) for name in (CONFIG, WEIGHTS)}
        if with_card:
            with suppress(EntryNotFoundError):
                files[CARD] = tree.read(CARD)
    return PullResult(repo_id, commit, files)


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
    """Make `files` what a repository holds, in one commit, or in none if it holds them already.

    The repository and the branch are made if they do not exist. A card there that its owner has
    edited is kept. If another commit comes between, all is done again on top of that.

    Args:
        repo_id: `user/name`.
        files: `config.json`, `model.safetensors` and `README.md`.
        revision: a branch; `main` if nothing is given.
        private: whether a new repository is private.
        token: one that may write; see `huggingface_hub`.
        commit_message: its title.
        create_pr: propose the commit as a pull request in place of making it.

    Raises:
        InputError: `repo_id` is not a name of the form `user/name`.
        HubError: the Hub does not take the files.
    """
    _check(repo_id)
    api = HfApi(token=token, library_name="mnistzoo", library_version=__version__)

    def attempt() -> PushResult:
        api.create_repo(repo_id, private=private, exist_ok=True)
        if revision not in (None, "main") and not create_pr:
            api.create_branch(repo_id, branch=str(revision), exist_ok=True)
        parent = api.model_info(repo_id, revision=revision)
        mine, card_kept = _for_repository(api, parent, files)
        made = api.create_commit(
            repo_id,
            [CommitOperationAdd(name, data) for name, data in mine.items()],
            commit_message=commit_message or f"Upload with mnistzoo {__version__}",
            revision=revision,
            create_pr=create_pr,
            parent_commit=parent.sha,
        )
        url = made.pr_url or made.commit_url
        return PushResult(repo_id, made.oid, url, made.oid != parent.sha, card_kept)

    # A pull request that was made while its answer was lost would be made twice.
    again = frozenset({429}) if create_pr else RETRYABLE_STATUSES
    with translate_hub_errors(repo_id, revision):
        return with_retries(attempt, again | {CONFLICT})


def _for_repository(
    api: HfApi, there: ModelInfo, files: dict[str, bytes]
) -> tuple[dict[str, bytes], bool]:
    """What to commit on top of a state of the repository, and whether its card is kept."""
    names = {file.rfilename for file in there.siblings or ()}
    tree = _Tree(api, there.id, _full(there.sha))
    if CARD in names and not (tree.is_small(CARD) and is_generated(tree.read(CARD))):
        return {name: data for name, data in files.items() if name != CARD}, True
    return {**files, CARD: address(files[CARD], there.id)}, False


def _check(repo_id: str) -> None:
    if repo_id.count("/") != 1:
        raise InputError(f'a repository of the Hub is named "user/name", got {repo_id!r}.')


def _full(commit: str | None) -> str:
    if commit is None or _COMMIT.fullmatch(commit) is None:
        raise HubError(f"expected a commit as 40 hexadecimal digits, got {commit!r}; try again.")
    return commit


@dataclass(frozen=True)
class _Tree:
    """The files of one commit, in the cache or on the Hub."""

    api: HfApi
    repo_id: str
    commit: str
    cache_dir: Path | None = None
    force_download: bool = False
    local_files_only: bool = False

    def read(self, name: str) -> bytes:
        """One file, checked against the Hub's digest where the cache knows it."""
        path = self._cached(name) or Path(
            with_retries(partial(self._ask, name), RETRYABLE_STATUSES)
        )
        data = read_bytes(path, limit=LIMITS[name])
        # The cache names a file by the Hub's digest of it: for LFS, the SHA-256 of its bytes.
        stated = path.resolve().name
        if _LFS.fullmatch(stated) and stated != sha256(data):
            raise WeightsError(
                f"{path} is not the file that the Hub has: expected SHA-256 {stated}, got "
                f"{sha256(data)}; pull it again with force_download=True (--force)."
            )
        return data

    def _cached(self, name: str) -> Path | None:
        """The file in the cache. Looked up here, since the client makes requests even then."""
        if self.force_download:
            return None
        found = try_to_load_from_cache(self.repo_id, name, self.cache_dir, self.commit)
        return Path(found) if isinstance(found, str) else None

    def is_small(self, name: str) -> bool:
        """Whether a file is no larger than one of this library's may be."""
        path = self._cached(name)
        size = (
            path.stat().st_size
            if path
            else with_retries(partial(self._size, name), RETRYABLE_STATUSES)
        )
        return size <= LIMITS[name]

    def _size(self, name: str) -> int:
        return int(self._download(name, dry_run=True).file_size or 0)

    def _ask(self, name: str) -> str:
        """Download a file, once its size is known to be one that will be read."""
        if (size := self._size(name)) > LIMITS[name]:
            raise WeightsError(
                f"{name} of {self.repo_id} has {size:,} bytes, expected at most "
                f"{LIMITS[name]:,}; it is not a file of a network of this library."
            )
        return str(self._download(name))

    def _download(self, name: str, **options: Any) -> Any:
        return self.api.hf_hub_download(
            self.repo_id,
            name,
            revision=self.commit,
            cache_dir=self.cache_dir,
            force_download=self.force_download,
            local_files_only=self.local_files_only,
            **options,
        )

"""One commit of a repository on the Hub: its files, checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, try_to_load_from_cache

from mnistzoo.errors import HubError, WeightsError
from mnistzoo.files import read_bytes, sha256
from mnistzoo.storage.hub_client import RETRYABLE_STATUSES, with_retries
from mnistzoo.storage.model_folder import LIMITS

_COMMIT = re.compile("[0-9a-f]{40}")
_LFS_DIGEST = re.compile("[0-9a-f]{64}")


def check_commit(commit: str | None) -> str:
    """Return `commit` if it is a full one, of 40 hexadecimal digits."""
    if commit is None or _COMMIT.fullmatch(commit) is None:
        raise HubError(f"Expected a commit of 40 hexadecimal digits, got {commit!r}. Try again.")
    return commit


@dataclass(frozen=True)
class HubCommit:
    """The files of one commit, in the cache or on the Hub."""

    api: HfApi
    repo_id: str
    commit: str
    cache_dir: Path | None = None
    force_download: bool = False
    local_files_only: bool = False

    def read(self, name: str) -> bytes:
        """Read one file, and check it against the Hub's digest if the cache has it."""
        path = self._find_cached(name) or Path(
            with_retries(partial(self._fetch, name), RETRYABLE_STATUSES)
        )
        data = read_bytes(path, limit=LIMITS[name])
        # The cache names a file by the Hub's digest: for LFS, the SHA-256 of its content.
        expected = path.resolve().name
        if _LFS_DIGEST.fullmatch(expected) and expected != sha256(data):
            raise WeightsError(
                f"{path} differs from the Hub's file: expected SHA-256 {expected}, got "
                f"{sha256(data)}. Pull it again with force_download=True (--force-download)."
            )
        return data

    def _find_cached(self, name: str) -> Path | None:
        """Return the file in the cache, without the requests that the client would make."""
        if self.force_download:
            return None
        found = try_to_load_from_cache(self.repo_id, name, self.cache_dir, self.commit)
        return Path(found) if isinstance(found, str) else None

    def is_small(self, name: str) -> bool:
        """Return whether a file is small enough to be one of this library's."""
        path = self._find_cached(name)
        size = (
            path.stat().st_size
            if path
            else with_retries(partial(self._size, name), RETRYABLE_STATUSES)
        )
        return size <= LIMITS[name]

    def _size(self, name: str) -> int:
        return int(self._download(name, dry_run=True).file_size or 0)

    def _fetch(self, name: str) -> str:
        """Download a file unless it is too large, and return its path in the cache."""
        if (size := self._size(name)) > LIMITS[name]:
            raise WeightsError(
                f"Expected at most {LIMITS[name]:,} bytes in {name} of {self.repo_id}, got "
                f"{size:,}. It is not a model of this library."
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

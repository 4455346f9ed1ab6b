"""Mixin: save to a folder, push to the Hugging Face Hub, load from either."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from mnistzoo.architectures import BUILDABLE, Architecture, Style
from mnistzoo.errors import HubError, InputError, WeightsError
from mnistzoo.files import check_path, is_dir
from mnistzoo.models.checks import check_layers
from mnistzoo.models.tensors import to_arrays
from mnistzoo.storage.edited_card import update_folder
from mnistzoo.storage.model_card import build_card
from mnistzoo.storage.model_folder import CARD, SavedModel, pack, read_folder, unpack
from mnistzoo.storage.state_dict import check_state_dict

if TYPE_CHECKING:
    from typing_extensions import Self

    from mnistzoo.storage.hub import PushResult


class HubMixin(nn.Module, ABC):
    """A model that can be saved to a folder or the Hub, and loaded from there.

    Attributes:
        architecture: The row of data that it is built from.
        labels: Names of the classes, or None if they are only numbered.
        style: How images become 28×28 pixels.
    """

    architecture: Architecture
    labels: Sequence[str] | None
    if TYPE_CHECKING:
        style: Style  # torch.jit.script knows no type of this name

    @property
    @abstractmethod
    def num_classes(self) -> int:
        """Outputs of the classifier."""

    @classmethod
    @abstractmethod
    def on_meta(cls, architecture: Architecture, num_classes: int) -> Self:
        """Return a float32 model on the meta device."""

    @classmethod
    @abstractmethod
    def from_saved(cls, saved: SavedModel) -> Self:
        """Return the model that was saved, in evaluation mode."""

    @classmethod
    def from_pretrained(
        cls,
        repo_id_or_folder: str | os.PathLike[str],
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
    ) -> Self:
        """Load a model from a folder or the Hugging Face Hub, in evaluation mode.

        Every load checks the config against its schema, the weights against the SHA-256 in the
        config and the Hub's, and each tensor's name, shape and dtype.

        >>> import tempfile, mnistzoo
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     mnistzoo.exp1(pretrained=True).save_pretrained(folder)
        ...     mnistzoo.from_pretrained(folder).num_params()
        21000

        Args:
            repo_id_or_folder: A folder that `save_pretrained` wrote, or else a repository,
                `"user/name"`. Use `get_model` for the zoo's own weights.
            revision: A branch, tag or commit. Default: `main`. A cached commit needs no request.
            token: Access token. Default: `HF_TOKEN` or the stored one. `False` sends none.
            cache_dir: The Hub client's cache. Default: the client's own.
            force_download: Download files even if they are cached.
            local_files_only: Make no request.

        Raises:
            FileReadError: The folder or one of its files is missing or cannot be read.
            HubError: The Hub or the cache does not have it. The message says what to do.
            WeightsError: The files are altered, foreign or incomplete.
            InputError: An argument is invalid.
        """
        check_path(repo_id_or_folder)
        source = os.fspath(repo_id_or_folder)
        if not isinstance(repo_id_or_folder, str) or _names_folder(source):
            return cls.from_saved(unpack(read_folder(source), source))
        from mnistzoo.storage.hub import pull

        try:
            pulled = pull(
                source,
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
            )
        except HubError as error:
            raise HubError(f"There is no folder {source}. From the Hub: {error}") from error
        return cls.from_saved(unpack(pulled.files, pulled.source))

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        accuracy: float | None = None,
        dataset: str | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        """Write `config.json`, `model.safetensors` and a model card, `README.md`, to a folder.

        A card that its owner edited keeps its text. Its metadata is updated if it describes
        other weights.

        >>> import tempfile, mnistzoo
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     mnistzoo.exp5(pretrained=True).save_pretrained(folder)
        ...     mnistzoo.from_pretrained(folder).architecture.name
        'exp5'

        Args:
            folder: Created if it does not exist.
            accuracy: The accuracy to state in the card, a fraction. Leave it out for shipped
                weights, whose accuracy is known.
            dataset: The dataset that `accuracy` was measured on, by its name on the Hub. Default:
                MNIST for a model with ten classes.
            provenance: JSON values about the training, stored in the weights file.

        Raises:
            InputError: The card cannot state this accuracy, or `folder` is empty.
            WeightsError: The model differs from its architecture, is not float32, or not finite.
            FileWriteError: A file cannot be written.
        """
        check_path(folder)
        update_folder(folder, self._pack(accuracy, dataset, provenance))

    def push_to_hub(
        self,
        repo_id: str,
        *,
        revision: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        commit_message: str | None = None,
        create_pr: bool = False,
        accuracy: float | None = None,
        dataset: str | None = None,
        card: str | None = None,
    ) -> PushResult:
        """Push the model to the Hugging Face Hub, as one commit of three files.

        The repository is created if it does not exist. Pushing unchanged files creates no commit.
        A card that its owner edited on the Hub is treated as in `save_pretrained`.

        Args:
            repo_id: `user/name`.
            revision: A branch, created if it does not exist. Default: `main`.
            private: Make a new repository private.
            token: Access token that may write. Default: `HF_TOKEN` or the stored one.
            commit_message: Title of the commit.
            create_pr: Open a pull request instead of committing.
            accuracy: See `save_pretrained`.
            dataset: See `save_pretrained`.
            card: Text of the model card, instead of a generated one.

        Raises:
            InputError: `repo_id` is invalid, or the card cannot state this accuracy.
            WeightsError: The model differs from its architecture, is not float32, or not finite.
            HubError: The Hub rejects a request. The message says what to do.
        """
        from mnistzoo.storage.hub import push
        from mnistzoo.storage.hub_client import check_repo_id

        check_repo_id(repo_id)
        if card is not None and (accuracy, dataset) != (None, None):
            raise InputError("Expected a card or an accuracy, got both. State it in the card.")
        files = self._pack(accuracy, dataset)
        if card is not None:
            files[CARD] = card.encode()
        return push(
            repo_id,
            files,
            revision=revision,
            private=private,
            token=token,
            commit_message=commit_message,
            create_pr=create_pr,
        )

    def check_architecture(self, prefix: str = "") -> None:
        """Check the layers whose paths start with `prefix` against the architecture.

        Raises:
            WeightsError: A layer was added, removed or changed, or is pruned or parametrized.
        """
        check_layers(self, self.on_meta(self.architecture, self.num_classes), prefix)

    def _pack(
        self, accuracy: float | None, dataset: str | None, provenance: dict[str, Any] | None = None
    ) -> dict[str, bytes]:
        """Return the three files, after a check that they load again."""
        name = self.architecture.name
        if BUILDABLE.get(name) != self.architecture:
            raise WeightsError(
                f"Expected a model that `get_model` builds ({', '.join(BUILDABLE)}), got another "
                f"architecture named {name}. If this is a fused copy, save the original instead."
            )
        self.check_architecture()
        arrays = to_arrays(self.state_dict())
        check_state_dict(self.architecture, self.num_classes, arrays, f"This {name}")
        config, files = pack(name, self.num_classes, arrays, provenance, self.labels, self.style)
        return {**files, CARD: build_card(self, config, accuracy, dataset)}


def _names_folder(source: str) -> bool:
    """Return whether a string names a folder: an existing one, or anything but `user/name`."""
    return source.count("/") != 1 or source.startswith((".", "~", "/")) or is_dir(source)

"""What a network of this library has of saving and pushing, apart from what it is."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from torch import nn

from mnistzoo.architectures import BUILDABLE, Architecture
from mnistzoo.errors import InputError, WeightsError
from mnistzoo.storage.model_card import render, write_with_card
from mnistzoo.storage.model_folder import CARD, encode
from mnistzoo.storage.state_dict import check_state

if TYPE_CHECKING:
    from mnistzoo.storage.hub import PushResult


class HubMixin(nn.Module, ABC):
    """A network that can be saved to a folder, or pushed to the Hugging Face Hub.

    Attributes:
        architecture: the row of data that it is built from.
    """

    architecture: Architecture

    @property
    @abstractmethod
    def num_classes(self) -> int:
        """Outputs of the classifier."""

    @abstractmethod
    def blank(self) -> nn.Module:
        """The same network as it was built, its tensors without memory and without values."""

    def check_layers(self) -> None:
        """Check that the layers are those that the architecture describes.

        Raises:
            WeightsError: one was put in, taken out or changed; files could not tell of it.
        """
        own, built = map(_layers, (self, self.blank()))
        for path in (*own, *built):
            if own.get(path) != built.get(path):
                raise WeightsError(
                    f"this {self.architecture.name} is not as it was built: {path} should be "
                    f"{built.get(path, 'absent')}, is {own.get(path, 'absent')}; only what "
                    "its architecture describes can be saved or exported."
                )

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        accuracy: float | None = None,
        dataset: str | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        """Write `config.json`, `model.safetensors` and a model card, `README.md`, to a folder.

        A card that is there and that its owner has edited is kept. See `checkpoint` for the format.

        Args:
            folder: made if it does not exist.
            accuracy: what the card is to state, a fraction; for the shipped weights it is known.
            dataset: what `accuracy` was measured on, a name on the Hub; MNIST if the network has
                ten classes and nothing else is given.
            provenance: what the file of weights is to say of how they were made, JSON values.

        Raises:
            InputError: the accuracy cannot be stated so.
            WeightsError: the network is not as it was built, not float32, or not finite.
            FileWriteError: the folder or the disk refuses.
        """
        write_with_card(folder, self._files(accuracy, dataset, provenance))

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
        """Put the network on the Hugging Face Hub, in one commit of the three files.

        No commit is made if all is there already. The repository is made if it does not exist. A
        card there that its owner has edited is kept.

        Args:
            repo_id: `user/name`.
            revision: a branch, made if it does not exist; `main` if nothing is given.
            private: whether a new repository is private.
            token: one that may write; `HF_TOKEN` or the stored one if nothing is given.
            commit_message: its title.
            create_pr: propose the commit as a pull request in place of making it.
            accuracy: see `save_pretrained`.
            dataset: see `save_pretrained`.
            card: the text of the model card, in place of one written from the network.

        Raises:
            InputError: `repo_id` is not of that form, or the accuracy cannot be stated so.
            WeightsError: the network is not as it was built, not float32, or not finite.
            HubError: the Hub does not take it; the message says what to do.
        """
        from mnistzoo.storage.hub import push

        if card is not None and (accuracy, dataset) != (None, None):
            raise InputError(
                "accuracy goes into a card written for you; pass it, or card, not both."
            )
        files = self._files(accuracy, dataset)
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

    def _files(
        self, accuracy: float | None, dataset: str | None, provenance: dict[str, Any] | None = None
    ) -> dict[str, bytes]:
        """The three files, once they are known to load again."""
        name, state = self.architecture.name, self.state_dict()
        if BUILDABLE.get(name) != self.architecture:
            raise WeightsError(
                f"expected a network of {', '.join(BUILDABLE)} as `get_model` builds it, got "
                f"another architecture called {name}, such as a fused copy has; save the network "
                "that it was made from."
            )
        check_state(self.blank().state_dict(), state, f"this {name}")
        self.check_layers()
        config, files = encode(name, self.num_classes, state, provenance)
        return {**files, CARD: render(self, config, accuracy, dataset)}


def _layers(module: nn.Module) -> dict[str, str]:
    """Each layer that computes, by path, with its settings, but for whether it works in place."""
    parts = [(path, part) for path, part in module.named_modules() if not list(part.children())]
    return {path: repr(part).replace("inplace=True", "") for path, part in parts}

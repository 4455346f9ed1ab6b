"""`from_pretrained`: a network from a folder or from the Hub, checked at every load."""

from __future__ import annotations

import os

import torch

from mnistzoo.architectures import BUILDABLE
from mnistzoo.errors import HubError
from mnistzoo.files import is_dir
from mnistzoo.models.convnet import ConvNet, blank
from mnistzoo.storage.model_folder import decode, read_folder
from mnistzoo.storage.state_dict import check_state


def from_pretrained(
    repo_id_or_folder: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
) -> ConvNet:
    """A network from the Hugging Face Hub, or from a folder, in evaluation mode.

    What is read is checked at every load: the config by its schema, the weights by the SHA-256
    stated there (and by the Hub's, where it states one), then by name, shape and dtype.

    Args:
        repo_id_or_folder: `"user/name"`, unless a folder of that name exists; or a folder that
            `save_pretrained` wrote. `get_model` has the zoo's own weights.
        revision: a branch, a tag or a commit; `main` if nothing is given. A commit that is in the
            cache is loaded without any request.
        token: `HF_TOKEN` or the stored one if nothing is given, none if `False`.
        cache_dir: the Hub's cache; the client's own if nothing is given.
        force_download: download again what is in the cache.
        local_files_only: make no request.

    Raises:
        FileReadError: the folder or a file of it is missing or cannot be read.
        HubError: the Hub or the cache does not have it; the message says what to do.
        WeightsError: what was read is altered, foreign or incomplete.
        InputError: an argument is not what it should be.
    """
    source = os.fspath(repo_id_or_folder)
    if not isinstance(repo_id_or_folder, str) or _is_folder(source):
        return from_files(read_folder(repo_id_or_folder), source)
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
        raise HubError(f"there is no folder {source}, and of the Hub: {error}") from error
    return from_files(pulled.files, f"{source} at {pulled.commit}")


def _is_folder(source: str) -> bool:
    """Whether a folder is meant: one that is there, or what cannot be `user/name`."""
    return source.count("/") != 1 or source.startswith((".", "~", "/")) or is_dir(source)


def from_files(files: dict[str, bytes], source: str) -> ConvNet:
    """The network that `config.json` and `model.safetensors` hold, in evaluation mode.

    Raises:
        WeightsError: they are altered, foreign or incomplete. `source` names them in the message.
    """
    config, state = decode(files, source)
    model = blank(BUILDABLE[config.architecture], config.num_classes)
    check_state(model.state_dict(), state, source)
    own = {name: tensor.clone() for name, tensor in state.items()}
    model.load_state_dict(own, assign=True)
    return model.to(torch.get_default_dtype()).eval()

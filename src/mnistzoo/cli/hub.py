"""Commands to and from the Hugging Face Hub: push, pull."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from mnistzoo.cli.console import JSON, print_json
from mnistzoo.cli.source import HELP, METAVAR, is_folder, load

if TYPE_CHECKING:
    from mnistzoo.models.convnet import ConvNet

Token = Annotated[
    str | None, typer.Option(help="An access token; HF_TOKEN or the stored one without any.")
]


def push(
    source: Annotated[str, typer.Argument(metavar=METAVAR, help=HELP)],
    repo_id: Annotated[str, typer.Argument(help="The repository, as user/name.")],
    revision: Annotated[str | None, typer.Option(help="A branch; main without any.")] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make the repository private, if it is new.")
    ] = False,
    token: Token = None,
    commit_message: Annotated[str | None, typer.Option(help="The title of the commit.")] = None,
    create_pr: Annotated[
        bool, typer.Option("--create-pr", help="Propose the commit as a pull request.")
    ] = False,
    accuracy: Annotated[
        float | None, typer.Option(help="What the card states of weights of your own: 0 to 1.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="What the accuracy was measured on, a name on the Hub.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Put a network on the Hugging Face Hub.

    Weights, config and model card go there in one commit.
    """
    model, card = _with_card(source)
    if card is not None and (accuracy, dataset) != (None, None):
        _check_renewable(card)
        card = None
    pushed = model.push_to_hub(
        repo_id,
        revision=revision,
        private=private or None,
        token=token,
        commit_message=commit_message,
        create_pr=create_pr,
        accuracy=accuracy,
        dataset=dataset,
        card=card,
    )
    if as_json:
        print_json(asdict(pushed))
        return
    print(pushed.url if pushed.changed else f"{pushed.url} holds all of it already")
    if pushed.card_kept:
        print("the card was kept, since it has been edited; delete README.md there to renew it")


def _with_card(source: str) -> tuple[ConvNet, str | None]:
    """A network of the zoo; or a folder's, with the folder's card."""
    from mnistzoo.models import ConvNet
    from mnistzoo.storage.model_folder import CARD, read_folder, unpack

    if not is_folder(source):
        return load(source), None
    files = read_folder(source)
    card = files.get(CARD)
    model = ConvNet.from_saved(unpack(files, source))
    return model, None if card is None else card.decode(errors="replace")


def _check_renewable(card: str) -> None:
    """Refuse to write a card anew that its owner has edited."""
    from mnistzoo.storage.model_card import is_generated

    if not is_generated(card.encode()):
        raise typer.BadParameter(
            "the folder's card has been edited and goes along as it is: state --accuracy and "
            "--dataset in it, or delete README.md there to have one written."
        )


def pull(
    repository: Annotated[str, typer.Argument(help="As user/name, or user/name@revision.")],
    folder: Annotated[
        Path | None, typer.Argument(help="Where to write the files; only the cache without any.")
    ] = None,
    token: Token = None,
    force: Annotated[
        bool, typer.Option("--force", help="Download again what is in the cache.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Get a network from the Hugging Face Hub, and check it.

    Its files are written to a folder, where one is named.
    """
    from mnistzoo.models import ConvNet
    from mnistzoo.storage import hub
    from mnistzoo.storage.edited_card import update_folder
    from mnistzoo.storage.model_folder import unpack

    repo_id, _, revision = repository.partition("@")
    pulled = hub.pull(
        repo_id, revision=revision or None, token=token, force_download=force, with_card=True
    )
    saved = unpack(pulled.files, pulled.source)
    ConvNet.from_saved(saved)  # checks the tensors
    if folder is not None:
        update_folder(folder, pulled.files)
    result: dict[str, Any] = {
        "repo_id": repo_id,
        "commit": pulled.commit,
        "folder": None if folder is None else str(folder),
        **msgspec.structs.asdict(saved.config),
    }
    if as_json:
        print_json(result)
        return
    print(f"{saved.source}: {result['architecture']}, {result['num_classes']} classes, checked")

"""Commands to and from the Hugging Face Hub: push, pull."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from mnistzoo.cli.console import print_record
from mnistzoo.cli.options import Format, Model, folder
from mnistzoo.cli.source import check, is_folder, load

if TYPE_CHECKING:
    from mnistzoo.models.convnet import ConvNet
    from mnistzoo.storage.hub import PushResult

Repository = Annotated[str, typer.Argument(metavar="REPO_ID", help="The repository, as user/name.")]
Token = Annotated[
    str | None,
    typer.Option(help="An access token.", show_default="HF_TOKEN, or the stored login"),
]

Branch = Annotated[str | None, typer.Option(help="The branch to push to.", show_default="main")]
Private = Annotated[bool, typer.Option("--private", help="Make a new repository private.")]
CommitMessage = Annotated[
    str | None, typer.Option(help="Title of the commit.", show_default="Upload with mnistzoo")
]
CreatePR = Annotated[
    bool, typer.Option("--create-pr", help="Open a pull request instead of committing.")
]
Accuracy = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Accuracy of your own weights, for the model card: 0 to 1."),
]
DatasetName = Annotated[
    str | None, typer.Option(help="Dataset of that accuracy, by its name on the Hub.")
]
Folder = Annotated[
    Path | None,
    typer.Option(
        *("--output", "-o"),
        parser=folder,
        metavar="FOLDER",
        help="A folder for the files.",
        show_default="cache only",
    ),
]
Revision = Annotated[
    str | None, typer.Option(help="The branch, tag or commit to pull.", show_default="main")
]
ForceDownload = Annotated[
    bool, typer.Option("--force-download", help="Download files even if they are cached.")
]


def push(
    model: Model,
    repo_id: Repository,
    revision: Branch = None,
    private: Private = False,
    token: Token = None,
    commit_message: CommitMessage = None,
    create_pr: CreatePR = False,
    accuracy: Accuracy = None,
    dataset: DatasetName = None,
    format_: Format = "table",
) -> None:
    """Push a model to the Hugging Face Hub.

    Weights, config and model card are uploaded in one commit.
    """
    from mnistzoo.storage.hub_client import check_repo_id

    check_repo_id(repo_id)
    check(model)
    loaded, card = _with_card(model)
    if card is not None and (accuracy, dataset) != (None, None):
        _check_renewable(card)
        card = None
    pushed = loaded.push_to_hub(
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
    print_record(format_, asdict(pushed), _describe(pushed))


def _describe(pushed: PushResult) -> str:
    """Return the lines to print after a push."""
    text = pushed.url if pushed.changed else f"{pushed.url} already holds these files."
    if pushed.card_kept:
        text += (
            "\nThe edited model card was kept. To regenerate it, delete README.md on the Hub and "
            "push again."
        )
    return text


def _with_card(source: str) -> tuple[ConvNet, str | None]:
    """Load a model, and the model card of its folder if it has one."""
    if not is_folder(source):
        return load(source), None
    from mnistzoo.models import ConvNet
    from mnistzoo.storage.model_folder import CARD, read_folder, unpack

    files = read_folder(source)
    card = files.get(CARD)
    model = ConvNet.from_saved(unpack(files, source))
    return model, None if card is None else card.decode(errors="replace")


def _check_renewable(card: str) -> None:
    """Refuse to overwrite a card that its owner has edited."""
    from mnistzoo.storage.model_card import is_generated

    if not is_generated(card.encode()):
        raise typer.BadParameter(
            "The folder's model card has been edited, so it is pushed unchanged. Write the "
            "accuracy and the dataset into it, or delete README.md to generate a new one."
        )


def pull(
    repo_id: Repository,
    output: Folder = None,
    revision: Revision = None,
    token: Token = None,
    force_download: ForceDownload = False,
    format_: Format = "table",
) -> None:
    """Pull a model from the Hugging Face Hub, and check its digests."""
    from mnistzoo.storage.hub_client import check_repo_id

    check_repo_id(repo_id)
    from mnistzoo.storage import hub
    from mnistzoo.storage.edited_card import update_folder
    from mnistzoo.storage.model_folder import unpack

    pulled = hub.pull(
        repo_id,
        revision=revision,
        token=token,
        force_download=force_download,
        with_card=True,
    )
    saved = unpack(pulled.files, pulled.source)
    if output is not None:
        update_folder(output, pulled.files)
    record: dict[str, Any] = {
        "repo_id": repo_id,
        "commit": pulled.commit,
        "output": None if output is None else str(output),
        "model": saved.config.architecture,
        **msgspec.structs.asdict(saved.config),
    }
    del record["architecture"]
    text = f"{saved.source}: {record['model']}, {record['num_classes']} classes, checked"
    print_record(format_, record, text)

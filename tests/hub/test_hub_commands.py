"""`mnistzoo push` and `mnistzoo pull`, as they are typed, and `torch.hub`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mnistzoo
from mnistzoo.storage.manifest import read_manifest

ROOT = Path(__file__).parents[2]
COMMAND = "result = command(*args)"


@pytest.fixture
def run(client, tmp_path):
    """Type a command; it must succeed."""

    def run(*args):
        done = client.run(COMMAND, args=args)
        assert done["status"] == 0, done
        return done["out"]

    return run


def test_folder_goes_up_and_comes_back(hub, run, files_of, tmp_path):
    """What is pushed from a folder and pulled into another is the same network, card and all."""
    files = files_of("exp4")
    up = tmp_path / "up"
    up.mkdir()
    for name, data in files.items():
        (up / name).write_bytes(data)
    pushed = json.loads(run("push", str(up), "user/typed", "--format", "json"))
    commit = hub.repos["user/typed"].heads["main"]
    assert pushed == {
        "repo_id": "user/typed",
        "commit": commit,
        "url": f"{hub.url}/user/typed/commit/{commit}",
        "changed": True,
        "card_kept": False,
    }
    assert "already" in run("push", str(up), "user/typed")
    down = tmp_path / "down"
    pulled = json.loads(run("pull", f"user/typed@{commit}", "-o", str(down), "--format", "json"))
    config = json.loads(files["config.json"])
    assert pulled == {
        "repo_id": "user/typed",
        "commit": commit,
        "output": str(down),
        **config,
    }
    assert {path.name: path.read_bytes() for path in down.iterdir()} == {
        name: hub.repos["user/typed"].files()[name] for name in files
    }
    assert (down / "model.safetensors").read_bytes() == files["model.safetensors"]
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(mnistzoo.from_pretrained(up)(images), mnistzoo.from_pretrained(down)(images))


def test_edited_card_of_a_folder_goes_up_and_an_accuracy_goes_into_a_new_one(
    hub, client, run, files_of, tmp_path
):
    """The folder's own words are pushed, and `--accuracy` refused beside them, else written."""
    for name, data in files_of("exp1").items():
        (tmp_path / name).write_bytes(data)
    run("push", str(tmp_path), "user/words", "--accuracy", "0.875", "--private")
    repo = hub.repos["user/words"]
    assert repo.private
    assert b"87.50%" in repo.files()["README.md"]
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\nMy words.\n")
    run("push", str(tmp_path), "user/words")
    assert repo.files()["README.md"] == b"---\nlicense: mit\n---\nMy words.\n"
    for option in (["--accuracy", "0.5"], ["--dataset", "user/letters"]):
        done = client.run(COMMAND, args=["push", str(tmp_path), "user/words", *option])
        assert done["status"] == 2
        assert "card has been edited" in " ".join(done["err"].split())
    assert b"My words" in repo.files()["README.md"]
    (tmp_path / "README.md").unlink()
    assert "the card was kept" in run("push", str(tmp_path), "user/words", "--accuracy", "0.5")


def test_pull_of_a_network_without_a_card(hub, run, files_of, tmp_path):
    """The card of the network that was in the folder does not stay with another one."""
    for name, data in files_of("exp1").items():
        (tmp_path / name).write_bytes(data)
    files = files_of("exp5")
    del files["README.md"]
    hub.make("user/bare", files)
    run("pull", "user/bare", "-o", str(tmp_path))
    assert not (tmp_path / "README.md").exists()
    assert mnistzoo.from_pretrained(tmp_path).architecture.name == "exp5"


def test_pull_without_a_folder_checks_and_keeps_an_edited_card_with_one(
    hub, run, files_of, tmp_path
):
    """Only the cache is filled; a README.md of another project in the folder is left alone."""
    hub.make("user/plain", files_of("exp3"))
    assert run("pull", "user/plain").endswith(": exp3, 10 classes, checked\n")
    (tmp_path / "README.md").write_text("another project")
    run("pull", "user/plain", "-o", str(tmp_path), "--force")
    assert (tmp_path / "README.md").read_text() == "another project"
    assert mnistzoo.from_pretrained(tmp_path).architecture.name == "exp3"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["pull", "user/nothing"], "there is no repository user/nothing"),
        (["pull", "nothing"], "named \"user/name\", got 'nothing'"),
        (["push", "/no/folder", "user/x"], "There is no folder /no/folder"),
        (["push", "exp9", "user/x"], "There is no model 'exp9'"),
        (["evaluate", "user/x"], "run `mnistzoo pull user/name -o FOLDER` first"),
    ],
)
def test_failure_is_one_line_and_status_one(client, args, said):
    """An expected failure prints one line to stderr, nothing to stdout, and no traceback."""
    done = client.run(COMMAND, args=args)
    assert (done["status"], done["out"]) == (1, "")
    assert done["err"].startswith("mnistzoo: ")
    assert said in done["err"]
    assert done["err"].count("\n") == 1


def test_altered_download_reaches_no_folder(hub, client, files_of, tmp_path):
    """What does not pass the checks is not written where it was asked for."""
    hub.make("user/bad", {**files_of("exp1"), "config.json": files_of("exp2")["config.json"]})
    done = client.run(COMMAND, args=["pull", "user/bad", "-o", str(tmp_path / "new")])
    assert done["status"] == 1
    assert "expected SHA-256" in done["err"]
    assert not (tmp_path / "new").exists()


def test_shipped_network_is_pushed_by_its_name(hub, run):
    """`mnistzoo push exp5` puts the very file that ships on the Hub, with its accuracy."""
    run("push", "exp5", "user/shipped")
    files, entry = hub.repos["user/shipped"].files(), read_manifest()["exp5"]
    assert json.loads(files["config.json"])["sha256"] == entry.sha256
    assert f"{entry.correct / 10_000:.2%}".encode() in files["README.md"]


LOAD = """
import sys, torch

root, folder, pretrained = sys.argv[1], sys.argv[2], sys.argv[3] == "True"
for name in ("exp1", "exp2", "exp3", "exp4", "exp5"):
    model = torch.hub.load(root, name, source="local", pretrained=pretrained)
assert "huggingface_hub" not in sys.modules and "typer" not in sys.modules
model.save_pretrained(folder)  # what is imported later is found too
print(sum(p.numel() for p in model.parameters()))
"""


def test_torch_hub_loads_from_a_clone_without_the_hub_client(tmp_path):
    """`torch.hub.load` finds the five in a checkout that is not installed, and asks nothing."""
    environment = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}
    pretrained = str(read_manifest().keys() >= set(mnistzoo.list_models()))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOAD, str(ROOT), str(tmp_path), pretrained],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=tmp_path,
    )
    assert (done.stdout, done.stderr) == ("17302\n", "")
    assert mnistzoo.from_pretrained(tmp_path).num_classes == 10

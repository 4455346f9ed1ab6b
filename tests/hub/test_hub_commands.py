"""The commands `mnistzoo push` and `mnistzoo pull`, and `torch.hub`."""

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
    """Run a command that must succeed, and return its output."""

    def run(*args):
        done = client.run(COMMAND, args=args)
        assert done["status"] == 0, done
        return done["out"]

    return run


def test_a_pushed_folder_can_be_pulled(hub, run, files_of, tmp_path):
    """Pushing a folder and pulling it into another gives the same model and card."""
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
    pulled = json.loads(
        run("pull", "user/typed", "--revision", commit, "-o", str(down), "--format", "json")
    )
    config = json.loads(files["config.json"])
    assert pulled == {
        "repo_id": "user/typed",
        "commit": commit,
        "output": str(down),
        "model": config.pop("architecture"),
        "labels": None,
        "style": "mnist",
        **config,
    }
    assert {path.name: path.read_bytes() for path in down.iterdir()} == {
        name: hub.repos["user/typed"].files()[name] for name in files
    }
    assert (down / "model.safetensors").read_bytes() == files["model.safetensors"]
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(mnistzoo.from_pretrained(up)(images), mnistzoo.from_pretrained(down)(images))


def test_the_edited_card_of_a_folder_is_pushed(hub, client, run, files_of, tmp_path):
    """An edited card is pushed as it is. `--accuracy` is only for a generated one."""
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
    assert "card was kept" in run("push", str(tmp_path), "user/words", "--accuracy", "0.5")


def test_pulling_a_model_without_a_card_removes_a_generated_one(hub, run, files_of, tmp_path):
    """The generated card of the previous model does not stay with another one."""
    for name, data in files_of("exp1").items():
        (tmp_path / name).write_bytes(data)
    files = files_of("exp5")
    del files["README.md"]
    hub.make("user/bare", files)
    run("pull", "user/bare", "-o", str(tmp_path))
    assert not (tmp_path / "README.md").exists()
    assert mnistzoo.from_pretrained(tmp_path).architecture.name == "exp5"


def test_pull_fills_the_cache_or_a_folder(hub, run, files_of, tmp_path):
    """Without a folder only the cache is filled. The README of another project is kept."""
    hub.make("user/plain", files_of("exp3"))
    assert run("pull", "user/plain").endswith(": exp3, 10 classes, checked\n")
    (tmp_path / "README.md").write_text("another project")
    run("pull", "user/plain", "-o", str(tmp_path), "--force-download")
    assert (tmp_path / "README.md").read_text() == "another project"
    assert mnistzoo.from_pretrained(tmp_path).architecture.name == "exp3"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["pull", "user/nothing"], "There is no repository user/nothing"),
        (["pull", "nothing"], "\"user/name\", got 'nothing'"),
        (["push", "exp1", "just-a-name"], "\"user/name\", got 'just-a-name'"),
        (["push", "/no/folder", "user/x"], "There is no folder /no/folder"),
        (["push", "exp9", "user/x"], "There is no model 'exp9'"),
        (["evaluate", "user/x"], "run `mnistzoo pull user/name -o FOLDER` first"),
    ],
)
def test_a_failure_is_one_line_and_status_one(client, args, said):
    """A failure prints one line to stderr, nothing to stdout, and no traceback."""
    done = client.run(COMMAND, args=args)
    assert (done["status"], done["out"]) == (1, "")
    assert done["err"].startswith("mnistzoo: ")
    assert said in done["err"]
    assert done["err"].count("\n") == 1


def test_an_altered_download_is_not_written(hub, client, files_of, tmp_path):
    """A model that fails the checks does not reach the folder."""
    hub.make("user/bad", {**files_of("exp1"), "config.json": files_of("exp2")["config.json"]})
    done = client.run(COMMAND, args=["pull", "user/bad", "-o", str(tmp_path / "new")])
    assert done["status"] == 1
    assert "expected SHA-256" in done["err"]
    assert not (tmp_path / "new").exists()


def test_a_shipped_model_is_pushed_by_name(hub, run):
    """`mnistzoo push exp5` pushes the shipped file itself, with its accuracy."""
    run("push", "exp5", "user/shipped")
    files, entry = hub.repos["user/shipped"].files(), read_manifest()["exp5"]
    assert json.loads(files["config.json"])["sha256"] == entry.sha256
    assert f"{entry.correct / 10_000:.2%}".encode() in files["README.md"]


def test_an_invalid_repository_is_refused_before_torch_is_imported(new_python):
    """`push exp1 just-a-name` fails at once."""
    out = new_python(
        "import sys\n"
        "from mnistzoo.cli import app\n"
        "from typer.testing import CliRunner\n"
        "error = CliRunner().invoke(app, ['push', 'exp1', 'just-a-name']).exception\n"
        "print(type(error).__name__, 'torch' in sys.modules)"
    )
    assert out == "InputError False\n"


LOAD = """
import sys, torch

root, folder, pretrained = sys.argv[1], sys.argv[2], sys.argv[3] == "True"
for name in ("exp1", "exp2", "exp3", "exp4", "exp5"):
    model = torch.hub.load(root, name, source="local", pretrained=pretrained)
assert "huggingface_hub" not in sys.modules and "typer" not in sys.modules
model.save_pretrained(folder)  # late imports work too
print(sum(p.numel() for p in model.parameters()))
"""


def test_torch_hub_loads_from_a_clone_without_the_hub_client(tmp_path):
    """`torch.hub.load` builds the five from a checkout that is not installed, without requests."""
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

"""The command line, as a process of its own: what it prints, where, and how it exits."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import mnistzoo
from mnistzoo.cli import app, main
from mnistzoo.errors import FileReadError, UnknownNameError

COMMANDS = ["list", "summary", "evaluate", "predict", "verify"]
COMMANDS += ["train", "study", "results", "plot"]


def run(*args):
    """Run `python -m mnistzoo` and give the finished process."""
    command = [sys.executable, "-W", "error", "-m", "mnistzoo", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def invoke(*args):
    """The same within this process, which is quicker; gives what was printed on stdout."""
    result = CliRunner().invoke(app, args, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_help_imports_nothing_heavy(python):
    """`--help` lists the commands without torch, torchvision, numpy or rich being imported."""
    heavy = "torch", "torchvision", "numpy", "rich", "huggingface_hub", "PIL", "safetensors"
    out = python(
        "import sys; from mnistzoo.cli import app\n"
        "try: app(['--help'])\n"
        f"except SystemExit: print('heavy:', [m for m in {heavy} if m in sys.modules])"
    )
    assert out.endswith("heavy: []\n")
    assert all(f"  {command} " in out for command in COMMANDS)


def test_names_of_files_are_no_markup(tmp_path, monkeypatch):
    """Brackets stay in the names that are printed, and a bar does not end a cell of Markdown."""
    monkeypatch.chdir(tmp_path)
    mnistzoo.exp1(pretrained=True).save_pretrained("w[bold]|x")
    digits, _ = mnistzoo.mnist(train=False)
    Image.fromarray(digits[0].numpy()).save("a[b].png")
    Path("c[").mkdir()
    Image.fromarray(digits[1].numpy()).save("c[/d].png")
    printed = invoke("predict", "a[b].png", "c[/d].png")
    assert "a[b].png" in printed
    assert "c[/d].png" in printed
    assert "w[bold]|x" in invoke("evaluate", "./w[bold]|x")
    assert "w[bold]\\|x |" in invoke("evaluate", "./w[bold]|x", "--markdown")


def test_version():
    """`--version` prints the package's own."""
    assert invoke("--version") == f"mnistzoo {mnistzoo.__version__}\n"


def test_list_is_sorted_and_complete():
    """JSON has every network and column; the most accurate comes first, the smallest otherwise."""
    by_accuracy = json.loads(invoke("list", "--sort", "accuracy", "--json"))
    assert {row["name"] for row in by_accuracy} == set(mnistzoo.list_models())
    accuracies = [row["accuracy"] for row in by_accuracy]
    assert accuracies == sorted(accuracies, reverse=True)
    by_params = json.loads(invoke("list", "--sort", "num_params", "--json"))
    assert [row["name"] for row in by_params] == ["exp4", "exp5", "exp1", "exp3", "exp2"]
    table = invoke("list")
    assert all(f"{row['num_params']:,}" in table for row in by_params)


def test_summary_shows_every_layer():
    """The table and the JSON have exp5's layers and its 17,302 parameters."""
    table = invoke("summary", "exp5")
    assert "features.conv7" in table
    assert "17,302" in table
    assert json.loads(invoke("summary", "exp5", "--json"))["num_params"] == 17_302


def test_evaluate_agrees_with_the_manifest():
    """Measured accuracy is the manifest's, and the confusion matrix adds up to the test set."""
    measured = json.loads(invoke("evaluate", "exp1", "--confusion", "--json"))["exp1"]
    assert measured["correct"] == mnistzoo.storage.manifest.read_manifest()["exp1"].correct
    assert sum(map(sum, measured["confusion"])) == measured["total"] == 10_000
    assert sum(measured["confusion"][i][i] for i in range(10)) == measured["correct"]


def test_evaluate_lists_disputed_images_apart():
    """Their errors are counted apart, and accuracy without them is that of the 9,985 others."""
    measured = json.loads(invoke("evaluate", "exp1", "--json"))["exp1"]
    listed = json.loads(invoke("evaluate", "exp1", "--disputed", "--json"))
    wrong = [row for row in listed if row["answers"]["exp1"] != row["label"]]
    assert measured["disputed_errors"] == len(wrong)
    errors = measured["total"] - measured["correct"] - len(wrong)
    assert measured["accuracy_without_disputed"] == 1 - errors / 9_985
    assert 0 < measured["ece"] < 0.01


def test_evaluate_prints_a_table():
    """Without --json there is a table with the same accuracy, and a matrix when asked for."""
    out = invoke("evaluate", "exp1", "--confusion")
    assert f"{mnistzoo.storage.manifest.read_manifest()['exp1'].accuracy:.2%}" in out
    assert "read as" in out


def test_train_writes_a_run(tmp_path, monkeypatch, test_images):
    """`train` ends with weights and metrics in the folder, and prints the metrics as JSON."""
    from mnistzoo.data.mnist import Digits
    from mnistzoo.training import runs

    few = Digits(test_images.images[:200], test_images.labels[:200])
    monkeypatch.setattr(runs, "mnist", lambda train: few)
    out = tmp_path / "run"
    options = ["--epochs", "1", "--seed", "3", "--out", str(out)]
    metrics = json.loads(invoke("train", "exp1", *options, "--json"))
    assert metrics["seed"] == 3
    assert metrics["total"] == 200
    assert (out / "model.safetensors").exists()
    assert str(out) in invoke("train", "exp1", *options)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["summary", "exp6"], "There is no model 'exp6'. Did you mean"),
        (["evaluate", "exp6"], "There is no model 'exp6'. Did you mean"),
        (["verify", "exp6"], "There is no pretrained model 'exp6'"),
        (["list", "--sort", "size"], "There is no column 'size'"),
        (["predict", "absent.png"], "absent.png"),
        (["train", "exp1", "--recipe", "recrod", "--out", "x"], "Did you mean 'record'"),
        (["train", "techer", "--out", "x"], "Did you mean 'teacher'"),
        (["train", "exp1", "--seed", str(2**64), "--out", "x"], "a seed from 0 to 4294967295"),
    ],
)
def test_errors_are_one_line(args, message, monkeypatch, capsys):
    """An expected error is one line on stderr, nothing on stdout, and exit status 1."""
    monkeypatch.setattr(sys, "argv", ["mnistzoo", *args])
    with pytest.raises(SystemExit) as exit_:
        main()
    printed = capsys.readouterr()
    assert exit_.value.code == 1
    assert printed.out == ""
    assert printed.err.startswith("mnistzoo: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err


@pytest.mark.parametrize(
    "args",
    [
        ["list", "--json", "--markdown"],
        ["evaluate", "exp1", "--json", "--markdown"],
        ["results", "docs/results", "--json", "--csv"],
        ["analyze", "exp1", "--csv", "--markdown"],
        ["analyze", "exp1", "--layer", "features.conv1", "--csv"],
    ],
)
def test_formats_exclude_each_other(args):
    """To ask for two at once, or for one that a command lacks, is wrong usage."""
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_exit_status_of_a_process():
    """A whole process exits 1 for an error, without a traceback, and 2 for wrong usage."""
    failed = run("summary", "exp6")
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert run("summary").returncode == 2
    assert run("evaluate", "--no-such-option").returncode == 2


def test_verify_exits_1_on_drift(tmp_path, monkeypatch):
    """A manifest that states another figure is named, and the exit status is 1; else it is 0."""
    from dataclasses import replace

    from mnistzoo import zoo
    from mnistzoo.storage.manifest import FOLDER, read_manifest, write_manifest

    folder = shutil.copytree(FOLDER, tmp_path / "weights")
    monkeypatch.setattr(zoo, "FOLDER", folder)
    monkeypatch.setattr(zoo, "read_manifest", lambda: read_manifest(folder))
    assert "holds" in invoke("verify", "exp1")
    entry = read_manifest()["exp1"]
    write_manifest({"exp1": replace(entry, correct=10_000)}, folder)
    result = CliRunner().invoke(app, ["verify", "exp1"])
    assert result.exit_code == 1
    assert f"correct: stated 10000, is {entry.correct}" in result.stdout


@pytest.fixture
def pictures(tmp_path, test_images):
    """Two files: the first test image, a 7, and a page with that 7 and a 2 beside it."""
    from PIL import Image

    seven, two = 255 - test_images.images[0].numpy(), 255 - test_images.images[1].numpy()
    page = Image.new("L", (200, 100), 255)
    for place, digit in ((20, seven), (120, two)):
        page.paste(Image.fromarray(digit).resize((56, 56)), (place, 20))
    Image.fromarray(seven).save(tmp_path / "seven.png")
    page.save(tmp_path / "page.png")
    return str(tmp_path / "seven.png"), str(tmp_path / "page.png")


def test_predict_reads_a_file(pictures):
    """The table, the JSON and the printed picture are of the digit in the file."""
    (row,) = json.loads(invoke("predict", pictures[0], "--show", "--json"))
    assert (row["file"], row["label"]) == (pictures[0], 7)
    assert row["probability"] == max(row["probabilities"]) > 0.9
    assert sum(row["probabilities"]) == pytest.approx(1)
    assert (len(row["pixels"]), max(map(max, row["pixels"]))) == (28, 255)
    shown = invoke("predict", pictures[0], "--model", "exp4", "--show")
    assert " 7 " in shown
    assert "▄" in shown


def test_read_finds_every_digit(pictures):
    """Both digits of a page come from left to right, each with a box around its ink."""
    digits = json.loads(invoke("read", pictures[1], "--json"))
    assert [digit["label"] for digit in digits] == [7, 2]
    for digit, start in zip(digits, (20, 120), strict=True):
        left, top, right, bottom = digit["box"]
        assert start <= left < right <= start + 56
        assert 20 <= top < bottom <= 76
    assert "left" in invoke("read", pictures[1])


def test_a_trained_folder_is_a_network(tmp_path):
    """What a run leaves is evaluated, exported and reads pictures under its folder's name."""
    mnistzoo.exp1(pretrained=True).save_pretrained(tmp_path)
    evaluated = invoke("evaluate", str(tmp_path), "exp1", "--json")
    of_folder, of_name = json.loads(evaluated).values()
    assert of_folder == of_name


def test_a_missing_folder_is_not_a_misspelt_name(tmp_path):
    """A path that is not there is an error about a folder; a bare word, about a name."""
    with pytest.raises(FileReadError, match="there is no folder"):
        invoke("evaluate", str(tmp_path / "nothing"))
    with pytest.raises(UnknownNameError, match="Did you mean 'exp5'"):
        invoke("evaluate", "exp55")


def test_a_terminal_without_the_characters():
    """Where × cannot be printed, the rest of the table is."""
    command = [sys.executable, "-m", "mnistzoo", "list"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    printed = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
    assert b"34 ? 34" in printed


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize("arguments", [["list"], ["--version"]])
def test_output_that_cannot_be_written(arguments):
    """Where the disk is full, that is said in one line, also of what is written at the end."""
    command = [sys.executable, "-m", "mnistzoo", *arguments]
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == "mnistzoo: [Errno 28] No space left on device\n"

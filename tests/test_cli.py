"""The command line: what each command prints, where, and how it exits."""

import csv
import inspect
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import GenericAlias
from typing import get_args, get_type_hints

import pytest
import typer
from msgspec.structs import replace
from PIL import Image
from typer.testing import CliRunner

import mnistzoo
import warm
from mnistzoo import zoo
from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.cli import COMMANDS, app, main, plot
from mnistzoo.cli.console import print_record
from mnistzoo.cli.options import FormatName
from mnistzoo.cli.source import known_names
from mnistzoo.cli.zoo import Column
from mnistzoo.storage.manifest import FOLDER, read_manifest, write_manifest
from mnistzoo.training import loop
from mnistzoo.training.recipes import RECIPES

RESULTS = Path(__file__).parent.parent / "docs" / "results"


def invoke(*args, status=0, **options):
    """Run a command in this process, check its exit status, and give its standard output."""
    result = CliRunner().invoke(app, list(map(str, args)), catch_exceptions=False, **options)
    assert result.exit_code == status, result.output
    return result.stdout


@pytest.fixture
def failed(monkeypatch, capsys):
    """Run a command that fails, through `main`; give its exit status and its line on stderr."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["mnistzoo", *map(str, args)])
        with pytest.raises(SystemExit) as exit_:
            main()
        printed = capsys.readouterr()
        assert printed.out == ""
        return exit_.value.code, printed.err

    return run


FAST = {
    "list": 0,
    "list --sort macs --format csv": 0,
    "--help": 0,
    "--version": 0,
    "train --help": 0,
    "plot --help": 0,
    "": 2,
    "analyze": 2,
    "evaluate --no-such-option": 2,
    "list --sort size": 2,
    "list --format yaml": 2,
    "train exp1 -o x --recipe recrod": 1,
    "train exp1 -o x --seed 4294967296": 2,
    "study exp1 -o x --jobs 1 --ray auto": 2,
    "export exp1 -o x.txt": 2,
    "plot errors exp1 -o x.txt": 2,
    "evaluate exp1 --style plain": 2,
    "evaluate exp1 --data x --disputed": 2,
    "evaluate exp1 --data no/folder": 1,
    "evaluate exp1 --data ''": 2,
    "predict - -": 2,
    "evaluate exp1 --data x --style fancy": 2,
    "plot confusion exp1 --style plain": 2,
    "analyze exp6": 1,
    "evaluate exp6": 1,
    "evaluate no/folder": 1,
    "verify exp6": 1,
    "train techer -o x": 1,
    "study exp6 -o x": 1,
    "export exp6 -o x.onnx": 1,
    "plot errors exp6": 1,
    "predict absent.png": 1,
    "predict https://example.org/7.png": 1,
    "read absent.png --model exp6": 1,
    "results absent": 1,
    "push exp6 user/x": 1,
    "push exp1 just-a-name": 1,
    "pull just-a-name": 1,
}
"""Commands that need no torch, and their exit status. `push` and `pull` import the Hub's
client."""


def test_help_and_errors_import_nothing_heavy(new_python, tmp_path):
    """Help, wrong usage and early errors import neither torch nor anything else that is slow."""
    heavy = ("torch", "torchvision", "numpy", "cv2", "PIL", "matplotlib", "huggingface_hub")
    code = (
        "import contextlib, io, json, os, shlex, sys; from mnistzoo.cli import main\n"
        "os.chdir(sys.argv[1]); lines, found = json.loads(sys.argv[2]), {}\n"
        "for line in lines:\n"
        "    sys.argv, err = ['mnistzoo', *shlex.split(line)], io.StringIO()\n"
        "    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):\n"
        "        try: main(); status = 0\n"
        "        except SystemExit as exit: status = exit.code or 0\n"
        f"    loaded = [name for name in {heavy} if name in sys.modules]\n"
        "    found[line] = status, loaded, err.getvalue()\n"
        "print(json.dumps(found))"
    )
    found = json.loads(new_python(code, str(tmp_path), json.dumps(list(FAST))))
    for line, (status, loaded, err) in found.items():
        expected = ["huggingface_hub"] if line.startswith(("push", "pull")) else []
        assert (status, loaded) == (FAST[line], expected), line
        if status == 1:
            assert err.startswith("mnistzoo: "), line
            assert err.count("\n") == 1, line
    assert list(tmp_path.iterdir()) == []


def test_images_are_read_without_torch(new_python, tmp_path, test_images):
    """`predict` and `read` import no torch, for a model's name and for its folder."""
    mnistzoo.exp4(pretrained=True).save_pretrained(tmp_path / "folder")
    Image.fromarray(test_images.images[0].numpy()).resize((280, 280)).save(tmp_path / "7.png")
    code = (
        "import json, os, sys; from mnistzoo.cli import main\n"
        "os.chdir(sys.argv[1])\n"
        "for line in json.loads(sys.argv[2]):\n"
        "    sys.argv = ['mnistzoo', *line.split()]\n"
        "    try: main()\n"
        "    except SystemExit as exit: assert not exit.code, line\n"
        "print('torch' in sys.modules)"
    )
    lines = ["predict 7.png --format csv", "read 7.png --model folder --format csv"]
    *printed, torch_imported = new_python(code, str(tmp_path), json.dumps(lines)).splitlines()
    assert [line.split(",")[1] for line in printed] == ["label", "7", "label", "7"]
    assert torch_imported == "False"


def commands(group=None, names=()):
    """Each command below a group, with its names."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*names, name))
        else:
            yield (*names, name), command


def test_callbacks_work_on_python_3_10():
    """There, `list[str]` counts as a class, and typer fails on a callback that takes it."""
    functions = [function for function, _ in COMMANDS.values()]
    functions += [command.callback for command in plot.app.registered_commands]
    checked = set()
    for function in functions:
        for parameter in inspect.signature(function, eval_str=True).parameters.values():
            stated = getattr(parameter.annotation, "__metadata__", [None])[0]
            callback = getattr(stated, "callback", None)
            if callback is not None:
                checked.add(callback.__qualname__)
                assert not [
                    taken
                    for taken in get_type_hints(callback).values()
                    if isinstance(taken, GenericAlias)
                ]
    assert {"_check_stdin", "_check_recipes", "check_suffix.<locals>.check"} == checked


@pytest.mark.parametrize(("names", "command"), list(commands()), ids=str)
def test_every_command_explains_itself(names, command):
    """The help of a command shows each default, and an example that it understands."""
    shown = " ".join(invoke(*names, "--help").split())
    *_, example = shown.partition("Example: mnistzoo ")
    words = shlex.split(example)
    assert words[: len(names)] == list(names)
    command.make_context("mnistzoo", words[len(names) :])
    for parameter in command.params:
        if parameter.default and parameter.default is not True and not parameter.required:
            assert "[default: " in shown


def test_options_have_one_spelling():
    """An option that several commands have has the same spelling, choices and help in each."""
    seen = {}
    for names, command in commands():
        for parameter in command.params:
            if parameter.name in ("output", "format_", "epochs", "validation", "token", "model"):
                seen.setdefault(parameter.name, set()).add(tuple(parameter.opts))
        assert not {"--json", "--csv", "--markdown", "--out"} & {
            option for parameter in command.params for option in parameter.opts
        }, names
    assert seen.pop("model") == {("model",), ("--model",)}  # `predict` takes any number of images
    assert all(len(spellings) == 1 for spellings in seen.values())
    assert {("--output", "-o")} == seen["output"]


def test_choices_are_those_of_the_library():
    """The columns, recipes and commands offered are those that exist."""
    assert get_args(Column) == zoo.COLUMNS
    assert f"Training recipe: {', '.join(RECIPES)}." in " ".join(invoke("train", "--help").split())
    assert set(COMMANDS) | {"plot"} == {names[0] for names, _ in commands()}


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("evaluate exp", list(ARCHITECTURES)),
        ("train teach", ["teacher"]),
        ("list --format ", list(get_args(FormatName))),
        ("train exp1 --recipe re", ["record"]),
    ],
)
def test_the_shell_completes_names_and_choices(typed, completed):
    """Completion offers the models' names and the choices of an option."""
    words = f"mnistzoo {typed}"
    environment = {
        "_MNISTZOO_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    assert invoke(env=environment, prog_name="mnistzoo").split() == completed


def test_version():
    """`--version` prints the version of the package."""
    assert invoke("--version") == f"mnistzoo {mnistzoo.__version__}\n"


@pytest.mark.parametrize(
    "args",
    [
        ["list"],
        ["verify", "exp1"],
        ["evaluate", "exp1", "--confusion"],
        ["evaluate", "exp1", "--disputed"],
        ["results", RESULTS],
        ["results", RESULTS, "--runs"],
    ],
    ids=lambda args: " ".join(map(str, args[:1] + args[2:])),
)
def test_tables_fit_80_columns(args):
    """A table that is piped is at most 80 columns wide, and no cell is cut."""
    lines = invoke(*args).splitlines()
    assert len(lines) >= 3
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)


def test_a_long_word_is_not_broken(tmp_path, monkeypatch, test_images):
    """A piped table is wider than 80 columns rather than break a file's name."""
    name = "x" * 100 + ".png"
    monkeypatch.chdir(tmp_path)
    Image.fromarray(test_images.images[0].numpy()).save(name)
    assert name in invoke("predict", name)


@pytest.mark.parametrize("format_", get_args(FormatName))
def test_every_format_holds_the_same(format_):
    """Table, JSON, CSV and Markdown have a row for each model, with its parameters."""
    text = invoke("list", "--format", format_)
    found = {
        "table": lambda: [line.split()[0] for line in text.splitlines()[-len(known_names()) :]],
        "json": lambda: [row["model"] for row in json.loads(text)],
        "csv": lambda: [row["model"] for row in csv.DictReader(io.StringIO(text))],
        "markdown": lambda: [line.split()[1] for line in text.splitlines()[2:]],
        "latex": lambda: [line.split()[0] for line in text.splitlines()[6:-3]],
    }[format_]()
    assert found == sorted(known_names())
    assert "17302" in text.replace(",", "")


def test_csv_of_an_analysis_is_data():
    """CSV has the keys and the numbers of JSON; shapes and fields are JSON in a cell."""
    rows = list(csv.DictReader(io.StringIO(invoke("analyze", "exp5", "--format", "csv"))))
    expected = json.loads(invoke("analyze", "exp5", "--format", "json"))["layers"]
    for row, layer in zip(rows, expected, strict=True):
        nested = ("output_shape", "receptive_field")
        assert {name: json.loads(row[name]) for name in nested} == {n: layer[n] for n in nested}
        assert row.items() >= {k: str(v) for k, v in layer.items() if k not in nested}.items()


def test_csv_of_one_record_leaves_nothing_out(capsys):
    """A nested value is JSON in a cell."""
    bins = [{"low": 0.0, "count": 3}, {"low": 0.5, "count": 4}]
    print_record("csv", {"model": "exp1", "bins": bins}, "two bins")
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["model"], json.loads(row["bins"])) == ("exp1", bins)


@pytest.mark.parametrize("format_", ["csv", "markdown"])
def test_a_receptive_field_has_its_size_in_every_format(format_):
    """Lists of numbers are not left out of a row."""
    printed = invoke("analyze", "exp5", "--layer", "features.conv5", "--format", format_)
    assert "size" in printed
    assert "[16, 16]" in printed


@pytest.mark.parametrize("format_", get_args(FormatName))
def test_the_confusion_matrix_is_in_every_format(format_):
    """Markdown has a table of its own for it, as the terminal has."""
    shown = {"table": "predicted label", "markdown": "\n\n| true label | 0 |"}
    shown["latex"] = "true label & 0 &"
    printed = invoke("evaluate", "exp1", "--confusion", "--format", format_)
    assert shown.get(format_, "confusion") in printed


def test_file_names_are_not_markup(tmp_path, monkeypatch, test_images):
    """Brackets in file names are printed, and a bar does not end a Markdown cell."""
    monkeypatch.chdir(tmp_path)
    mnistzoo.exp1(pretrained=True).save_pretrained("w[bold]|x")
    for index, name in enumerate(("a[b].png", "c[/d].png")):
        Path(name).parent.mkdir(exist_ok=True)
        Image.fromarray(test_images.images[index].numpy()).save(name)
    printed = invoke("predict", "a[b].png", "c[/d].png", "--model", "./w[bold]|x")
    assert "a[b].png" in printed
    assert "c[/d].png" in printed
    assert "w[bold]|x" in invoke("evaluate", "./w[bold]|x")
    assert "w[bold]\\|x |" in invoke("evaluate", "./w[bold]|x", "--format", "markdown")


def test_list_is_sorted():
    """The most accurate model comes first; by any other column the smallest does."""
    by_accuracy = json.loads(invoke("list", "--sort", "accuracy", "--format", "json"))
    accuracies = [row["accuracy"] for row in by_accuracy]
    assert accuracies == sorted(accuracies, reverse=True)
    by_size = json.loads(invoke("list", "--sort", "num_params", "--format", "json"))
    sizes = [row["model"] for row in by_size if "." not in row["model"]]
    assert sizes == ["exp4", "exp5", "exp1", "exp3", "exp2"]


def test_evaluate_agrees_with_the_manifest():
    """Accuracy is the manifest's, and the confusion matrix adds up to the test set."""
    (measured,) = json.loads(invoke("evaluate", "exp1", "--confusion", "--format", "json"))
    assert measured["correct"] == read_manifest()["exp1"].correct
    assert sum(map(sum, measured["confusion"])) == measured["total"] == 10_000
    assert sum(measured["confusion"][i][i] for i in range(10)) == measured["correct"]
    listed = json.loads(invoke("evaluate", "exp1", "--disputed", "--format", "json"))
    wrong = [row for row in listed if row["predictions"]["exp1"] != row["label"]]
    assert measured["disputed_errors"] == len(wrong)
    errors = measured["total"] - measured["correct"] - len(wrong)
    assert measured["accuracy_without_disputed"] == 1 - errors / 9_985
    assert 0 < measured["ece"] < 0.01


def test_train_writes_a_run(tmp_path, small_mnist):
    """`train` leaves weights and metrics in its folder, which then stands for a model."""
    out = tmp_path / "run"
    options = ["--epochs", "1", "--seed", "3", "-o", out]
    metrics = json.loads(invoke("train", "exp1", *options, "--format", "json"))
    assert metrics["seed"] == 3
    assert metrics["total"] == 100
    assert str(out) in invoke("train", "exp1", *options)
    (row,) = json.loads(invoke("evaluate", out, "--format", "json"))
    assert row["model"] == str(out)


def test_interrupted_training_says_what_it_kept_and_resumes(
    tmp_path, small_mnist, failed, monkeypatch
):
    """Ctrl+C during the second epoch exits 130; the same command then trains the other two."""
    evaluate, calls = loop.evaluate, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return evaluate(*args)

    monkeypatch.setattr(loop, "evaluate", interrupted)
    command = ["train", "exp1", "--epochs", "3", "-o", tmp_path]
    status, err = failed(*command)
    assert status == 130
    last = err.splitlines()[-1]
    assert f"{tmp_path} keeps 1 of 3 epochs of exp1. Run the same command again" in last
    calls.clear()
    monkeypatch.setattr(loop, "evaluate", lambda *args: calls.append(args) or evaluate(*args))
    invoke(*command)
    assert len(calls) == 2 + 1  # the epochs that were left, and the result


def test_an_interrupted_study_says_what_it_kept(tmp_path, small_mnist, failed, monkeypatch):
    """Ctrl+C during the second run exits 130; the same command then trains that run only."""
    trained = []

    def engine(folders, *, jobs, inputs):
        for folder, run in folders.items():
            if len(trained) == 1:
                trained.append("interrupted")
                signal.raise_signal(signal.SIGINT)
            loop.train_run(run, folder)
            trained.append(folder.name)
            yield folder, None

    monkeypatch.setattr("mnistzoo.training.local_engine.run_locally", engine)
    settings = ["--epochs", "1", "--validation", "50", "-o", tmp_path]
    command = ["study", "exp1", "--seed", "0", "--seed", "1", *settings]
    status, err = failed(*command)
    assert status == 130
    assert f"{tmp_path} keeps 1 of 2 results" in err.splitlines()[-1]
    assert "exp1" in invoke(*command)
    assert trained == ["exp1-record-0", "interrupted", "exp1-record-1"]


def test_ctrl_c_is_one_line(failed, monkeypatch):
    """A command without anything to keep says that it was interrupted, with status 130."""
    monkeypatch.setattr(zoo, "rows", lambda sort: signal.raise_signal(signal.SIGINT))
    assert failed("list") == (130, "mnistzoo: Interrupted.\n")


def test_ctrl_c_in_a_finalizer_is_not_lost():
    """Python ignores exceptions in finalizers. The command ends all the same, even if it waits."""
    code = """
import os, signal
signal.alarm(60)  # ends a command that waits forever
from mnistzoo import zoo
from mnistzoo.cli import main

class Late:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def rows(sort):
    Late()
    os.read(os.pipe()[0], 1)

zoo.rows = rows
main()
"""
    done = warm.run(["-c", code, "list"])
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "mnistzoo: Interrupted.\n")


def test_ctrl_c_in_a_finalizer_at_the_end_prints_nothing():
    """A command that ends before the interrupt is repeated has finished."""
    code = """
import signal
from mnistzoo import zoo
from mnistzoo.cli import interrupts, main

interrupts.PAUSE = 1.0

class Late:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def rows(sort):
    Late()
    return []

zoo.rows = rows
main()
"""
    done = warm.run(["-c", code, "list"])
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("entry", ["-m mnistzoo", "-c import-main"])
def test_ctrl_c_while_the_commands_are_imported_is_one_line(tmp_path, entry):
    """Before there is a command, Ctrl+C is one line and status 130 as well."""
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    code = "from mnistzoo.__main__ import main; main()"
    arguments = ["-c", code] if entry.startswith("-c") else entry.split()
    path = os.pathsep.join([str(tmp_path), str(Path(mnistzoo.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "mnistzoo: Interrupted.\n")


def test_verify_exits_1_on_a_mismatch(tmp_path, monkeypatch):
    """A figure of the manifest that does not hold is named, and the exit status is 1."""
    folder = shutil.copytree(FOLDER, tmp_path / "weights")
    monkeypatch.setattr(zoo, "FOLDER", folder)
    monkeypatch.setattr(zoo, "read_manifest", lambda: read_manifest(folder))
    assert "ok" in invoke("verify", "exp1")
    entry = read_manifest()["exp1"]
    write_manifest({"exp1": replace(entry, correct=10_000)}, folder)
    assert f"correct: stated 10000, computed {entry.correct}" in invoke("verify", "exp1", status=1)


@pytest.fixture
def images(tmp_path, test_images):
    """A folder with the first test image, a 7, and a page with that 7 and a 2 beside it."""
    seven, two = 255 - test_images.images[0].numpy(), 255 - test_images.images[1].numpy()
    page = Image.new("L", (200, 100), 255)
    for place, digit in ((20, seven), (120, two)):
        page.paste(Image.fromarray(digit).resize((56, 56)), (place, 20))
    Image.fromarray(seven).save(tmp_path / "seven.png")
    page.save(tmp_path / "page.png")
    return tmp_path


def test_predict_reads_a_file(images):
    """The table, the JSON and the pixels are those of the digit in the file."""
    file = images / "seven.png"
    (row,) = json.loads(invoke("predict", file, "--show", "--format", "json"))
    assert (row["file"], row["label"]) == (str(file), 7)
    assert row["probability"] == max(row["probabilities"]) > 0.9
    assert sum(row["probabilities"]) == pytest.approx(1)
    assert (len(row["pixels"]), max(map(max, row["pixels"]))) == (28, 255)
    shown = invoke("predict", file, "--model", "exp4", "--show")
    assert " 7 " in shown
    assert "▄" in shown


def test_weights_are_chosen_by_name(images, failed):
    """Photographs are read with the world weights, `--weights` takes others, folders have none."""
    file, as_json = images / "seven.png", ("--format", "json")
    world = invoke("predict", file, *as_json)
    assert invoke("predict", file, "--weights", "world", *as_json) == world
    assert invoke("predict", file, "--model", "exp5.world", *as_json) == world
    assert invoke("predict", file, "--weights", "mnist", *as_json) != world
    assert invoke("read", file, *as_json) != invoke("read", file, "--weights", "mnist", *as_json)
    of_exp1 = invoke("predict", file, "--model", "exp1", *as_json)
    assert invoke("predict", file, "--model", "exp1", "--weights", "mnist", *as_json) == of_exp1
    assert failed("predict", file, "--model", "exp1", "--weights", "world")[0] == 1
    assert "exp5.world" in failed("evaluate", "exp5", "--weights", "wrld")[1]
    assert "--weights" in failed("evaluate", images, "--weights", "world")[1]


def test_a_page_has_the_weights_for_drawings(tmp_path):
    """Pages have the world weights, other files MNIST's, unless `--weights` says so."""

    def made(name, *options):
        invoke("export", "exp5", "-o", tmp_path / name, *options)
        return (tmp_path / name).read_bytes()

    page, header = made("x.html"), made("x.h")
    assert made("x.html", "--weights", "world") == page != made("x.html", "--weights", "mnist")
    assert made("x.h", "--weights", "mnist") == header != made("x.h", "--weights", "world")


def test_predict_answers_for_the_images_it_can_read(images):
    """Good files get their rows on stdout, bad ones a line each on stderr; the status is 1."""
    (images / "text.png").write_text("not an image")
    names = ["seven.png", "absent.png", "text.png", "http://x.org/7.png", "page.png"]
    arguments = [name if "://" in name else images / name for name in names]
    result = CliRunner().invoke(app, ["predict", *map(str, arguments), "--format", "csv"])
    assert result.exit_code == 1
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [Path(row["file"]).name for row in rows] == ["seven.png", "page.png"]
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    for name in ("absent.png", "text.png", "http://x.org/7.png"):
        assert sum(name in line for line in lines) == 1
    assert "Download it first" in result.stderr


def test_predict_takes_a_folder_and_standard_input(images):
    """A folder means its images in order; `-` means the bytes on standard input."""
    (images / "notes.txt").write_text("not an image")
    rows = json.loads(invoke("predict", images, "--format", "json"))
    assert [Path(row["file"]).name for row in rows] == ["page.png", "seven.png"]
    data = (images / "seven.png").read_bytes()
    (row,) = json.loads(invoke("predict", "-", "--format", "json", input=data))
    assert (row["file"], row["label"]) == ("-", 7)
    (images / "empty").mkdir()
    assert invoke("predict", images / "empty", "--format", "json", status=1) == "[]\n"
    invoke("predict", "-", input=b"", status=1)


@pytest.mark.parametrize("name", ["", "x" * 300 + ".png"], ids=["empty", "long"])
def test_predict_survives_names_that_the_system_rejects(images, name):
    """An empty path is not the working directory, and an endless one is reported like others."""
    good = images / "seven.png"
    result = CliRunner().invoke(app, ["predict", name, str(good), "--format", "json"])
    assert result.exit_code == 1
    assert [row["file"] for row in json.loads(result.stdout)] == [str(good)]
    assert result.stderr.startswith(f"mnistzoo: {name or chr(39) * 2}: ")
    assert result.stderr.endswith("Check the path.\n")


def test_the_download_that_is_suggested_is_quoted(failed):
    """A URL with an ampersand can be pasted into a shell."""
    url = "https://example.org/a?b=1&c=2"
    assert f"curl -sL '{url}' | mnistzoo predict -" in failed("predict", url)[1]


def test_lists_in_csv_are_json(images):
    """Probabilities and boxes can be parsed from their cells."""
    (row,) = csv.DictReader(io.StringIO(invoke("read", images / "seven.png", "--format", "csv")))
    assert len(json.loads(row["box"])) == 4
    assert sum(json.loads(row["probabilities"])) == pytest.approx(1)


def test_read_finds_every_digit(images):
    """The digits of a page come from left to right, each with a box around its foreground."""
    digits = json.loads(invoke("read", images / "page.png", "--format", "json"))
    assert [digit["label"] for digit in digits] == [7, 2]
    for digit, start in zip(digits, (20, 120), strict=True):
        left, top, right, bottom = digit["box"]
        assert start <= left < right <= start + 56
        assert 20 <= top < bottom <= 76
    table = invoke("read", images / "page.png", images / "absent.png", status=1)
    assert "left" in table


def test_a_folder_stands_for_a_model(tmp_path):
    """A saved model is evaluated and analyzed under its folder's name."""
    mnistzoo.exp1(pretrained=True).save_pretrained(tmp_path)
    of_folder, of_name = json.loads(invoke("evaluate", tmp_path, "exp1", "--format", "json"))
    assert of_folder | {"model": "exp1"} == of_name
    assert invoke("analyze", tmp_path) == invoke("analyze", "exp1")


def test_misspelled_names_and_missing_folders(failed, tmp_path):
    """A bare word gets the nearest name, and a path an error about a folder."""
    assert "Did you mean 'exp5'" in failed("evaluate", "exp55")[1]
    assert "Did you mean 'teacher'" in failed("train", "techer", "-o", "x")[1]
    assert "There is no folder" in failed("evaluate", tmp_path / "nothing")[1]
    assert "a: There is no such file" in failed("predict", "a")[1]


@pytest.mark.parametrize("command", ["evaluate", "analyze", "export -o x.h", "predict x --model"])
def test_an_empty_name_is_not_the_working_directory(failed, command):
    """An empty model, as of an unset variable, is an unknown name and not the current folder."""
    assert "There is no model ''. Choose from: exp1" in failed(*command.split(), "")[1]


def test_models_of_other_libraries_are_suggested(failed):
    """A bare name that the zoo does not have may be one of torchvision or timm."""
    assert "torchvision:resnet50" in failed("analyze", "resnet50")[1]


def test_a_module_that_exits_is_no_model(failed, tmp_path, monkeypatch):
    """A script that ends the process when it is imported is one error, not a silent success."""
    monkeypatch.chdir(tmp_path)
    Path("exiting_script.py").write_text("raise SystemExit(0)")
    status, error = failed("analyze", "exiting_script:model")
    assert status == 1
    assert "Expected package.module:callable" in error


def test_a_file_is_not_a_module(failed):
    """The error for `model.py:build`, which other tools take, has the name that works."""
    assert (
        "Name the module, not its file: models.nets:build."
        in failed("analyze", "models/nets.py:build")[1]
    )


@pytest.mark.parametrize("options", [(), ("--memory", "training"), ("--roofline", "A100")])
def test_what_a_model_prints_is_not_part_of_the_result(tmp_path, monkeypatch, options):
    """A module that prints when it is imported, built and called leaves the JSON valid."""
    monkeypatch.chdir(tmp_path)
    Path("printing_model.py").write_text(
        "from torch import nn\nprint('import')\n\n\n"
        "class Printing(nn.Conv2d):\n"
        "    def __init__(self):\n        print('build')\n        super().__init__(3, 4, 3)\n\n"
        "    def forward(self, x):\n        print('call')\n        return super().forward(x)\n"
    )
    monkeypatch.delitem(sys.modules, "printing_model", raising=False)
    ran = CliRunner().invoke(
        app, ["analyze", "printing_model:Printing", *options, "--format", "json"]
    )
    assert ran.exit_code == 0
    assert json.loads(ran.stdout)
    assert {"import", "build", "call"} <= set(ran.stderr.split())
    both = ["printing_model:Printing"] * 2
    assert json.loads(invoke("compare", *both, "--format", "json"))


def test_a_terminal_without_the_characters():
    """Where ± cannot be printed, a question mark is, and the command succeeds."""
    command = [sys.executable, "-W", "error", "-m", "mnistzoo", "results", RESULTS]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    printed = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
    assert b"98.79% ? 0.06" in printed


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
@pytest.mark.parametrize("command", ["--version", "results {} --format json", "results absent"])
def test_closed_streams_are_no_error(command):
    """Without standard output or error, a command has the same exit status as with them."""
    line = f"{shlex.quote(sys.executable)} -m mnistzoo {command.format(shlex.quote(str(RESULTS)))}"
    status = int("absent" in command)
    for closed in (">&-", ">&- 2>&-"):
        done = subprocess.run(
            ["sh", "-c", f"{line} {closed}"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, "Traceback" in done.stderr) == (status, False), done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize("arguments", [["results", RESULTS], ["--version"]], ids=str)
def test_output_that_cannot_be_written(arguments):
    """A full disk is one line on stderr and status 1, also where it shows only at the end."""
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-W", "error", "-m", "mnistzoo", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("mnistzoo: ")
    assert done.stderr.count("\n") == 1


def test_an_analysis_to_a_depth_and_folded():
    """`--depth` adds up inner layers in every format, and `--fold` shows repetitions once."""
    options = ("analyze", "torchvision:resnet18", "--depth", 1)
    layers = json.loads(invoke(*options, "--format", "json"))["layers"]
    rows = list(csv.DictReader(io.StringIO(invoke(*options, "--format", "csv"))))
    assert [int(row["macs"]) for row in rows] == [layer["macs"] for layer in layers]
    assert "layer4" in invoke(*options)
    assert "layer4.0" not in invoke(*options, "--format", "latex")
    assert "× 2" in invoke("analyze", "torchvision:resnet18", "--fold")
    invoke("analyze", "exp1", "--depth", 0, status=2)


def test_names_of_weights_are_analyzed_as_their_model():
    """Whatever `list` names can be analyzed and compared."""
    assert invoke("analyze", "exp5.world") == invoke("analyze", "exp5")
    assert "exp5.four-bit: 17,302 parameters" in invoke("compare", "exp5", "exp5.four-bit")


def test_an_analysis_as_a_page(tmp_path, test_images, failed):
    """`--html` writes a page; with `--image` it has effective fields of the pretrained weights."""
    image, page = tmp_path / "7.png", tmp_path / "page.html"
    Image.fromarray(test_images.images[0].numpy()).save(image)
    invoke("analyze", "exp1", "--html", page)
    assert "middle half" not in page.read_text("utf8")
    invoke("analyze", "exp1", "--html", page, "--image", image)
    assert "middle half" in page.read_text("utf8")
    invoke("analyze", "torchvision:squeezenet1_1", "--input", "3,64,64", "--html", page)
    shape = ("--input", "3,64,64", "--html", page, "--image")
    invoke("analyze", "torchvision:squeezenet1_1", *shape, image)
    assert "middle half" in page.read_text("utf8")
    assert "Cannot read" in failed("analyze", "torchvision:resnet18", *shape, page)[1]
    invoke("analyze", "exp1", "--image", image, status=2)
    status, message = failed("analyze", "exp1", "--html", image)
    assert (status, "ends in .html" in message) == (2, True)


def test_memory_and_time_of_a_model(failed):
    """`--memory` prints the peak, and `--roofline` lower bounds, for a batch too."""
    analysis = mnistzoo.exp5().summary()
    peak = analysis.peak_memory()
    assert f"{peak:,} bytes" in invoke("analyze", "exp5", "--memory", "inference")
    for format_, line in (("markdown", f"| peak_memory | {peak:,} |"), ("latex", f"& {peak:,}")):
        assert line in invoke("analyze", "exp5", "--memory", "inference", "--format", format_)
    options = ("--memory", "training", "--batch-size", 8, "--format", "json")
    record = json.loads(invoke("analyze", "exp5", *options))
    assert record == {"peak_memory": analysis.peak_memory(training=True, batch_size=8)}
    options = ("--roofline", "A100", "--batch-size", 8)
    record = json.loads(invoke("analyze", "exp5", *options, "--format", "json"))
    assert record["macs"] == 8 * analysis.macs
    assert "lower bound" in invoke("analyze", "exp5", *options, "--format", "markdown")
    assert "Did you mean 'A100'" in failed("analyze", "exp5", "--roofline", "A10")[1]
    invoke("analyze", "exp5", "--roofline", "A100", "--memory", "training", status=2)


def test_two_models_side_by_side():
    """Layers with the same path share a row, and others have one of their own."""
    rows = list(csv.DictReader(io.StringIO(invoke("compare", "exp4", "exp5", "--format", "csv"))))
    assert [row["path"] for row in rows] == [row.path for row in mnistzoo.exp5().summary()]
    assert [row["path"] for row in rows if row["one_macs"] == ""] == [
        f"features.bn{number}" for number in range(1, 8)
    ]
    assert sum(int(row["other_num_params"]) for row in rows) == 17302
    assert json.loads(rows[-1]["one_receptive_field"])["size"] == [26, 26]
    table = invoke("compare", "exp4", "exp5", "--format", "markdown")
    for name in ("exp4", "exp5"):
        peak = mnistzoo.get_model(name).summary().peak_memory()
        assert f"MACs, {peak / 2**20:.2f} MiB peak memory, receptive field 34×34" in table
    record = json.loads(invoke("compare", "exp5", "exp4", "--format", "json"))
    assert [model["num_params"] for model in record["models"]] == [17302, 17054]
    assert record["layers"][1]["path"] == "features.bn1"
    assert record["layers"][1]["rows"][1] is None


def test_layers_that_both_models_lack():
    """Rows of one model only keep their place, whichever model has them."""
    record = json.loads(invoke("compare", "exp3", "exp1", "--format", "json"))
    paths = [layer["path"] for layer in record["layers"]]
    assert paths[5:8] == ["features.conv3", "features.relu3", "features.pool2"]
    assert paths[-1] == "classifier"

"""`mnistzoo predict -o`: a row for each file, once, in order, whatever happens meanwhile."""

import json
import os
import random
import signal
import time
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image
from typer.testing import CliRunner

import warm
from mnistzoo.bulk.local_workers import LocalWorkers
from mnistzoo.bulk.output import Rows, Settings, open_rows
from mnistzoo.bulk.predictor import CHUNK_FILES, File, Predictor, error_row, to_chunks
from mnistzoo.bulk.schedule import CHUNKS_AHEAD, RETRIES, predict_files
from mnistzoo.cli import app
from mnistzoo.errors import ClusterError, DataError, FileWriteError, InputError, MnistZooError
from mnistzoo.inference import load_model


@pytest.fixture(scope="module", autouse=True)
def _forks():
    """End the process that workers are forks of; it would end with this one only."""
    yield
    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()


def invoke(*args, status=0):
    """Run a command in this process; give what it prints on stdout and stderr."""
    result = CliRunner().invoke(app, ["predict", *map(str, args)], catch_exceptions=False)
    assert result.exit_code == status, result.output
    return result.stdout, result.stderr


@pytest.fixture
def folder(tmp_path, few):
    """A folder with 40 images, some deeper inside, and one file that is not an image."""
    for index in range(40):
        path = tmp_path / "images" / ("", "deeper")[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(few.images[index].numpy()).save(path)
    (tmp_path / "images" / "broken.png").write_text("not an image")
    return tmp_path / "images"


def read_rows(path):
    """Return the rows of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_are_those_of_predict(folder, tmp_path):
    """Each file has one row, in order, for any number of processes: `predict`'s, or its error."""
    for jobs in 1, 3:
        out, err = invoke(folder, "-o", tmp_path / f"{jobs}.jsonl", "--jobs", jobs, status=1)
        assert "41 files, 1 of them cannot be read" in out
        assert err.count("broken.png") == 1
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "3.jsonl").read_bytes()
    printed, _ = invoke(folder, "--format", "json", status=1)
    rows = read_rows(tmp_path / "1.jsonl")
    assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)
    assert json.loads(printed) == [row for row in rows if "error" not in row]
    (broken,) = (row for row in rows if "error" in row)
    assert broken.keys() == {"file", "error"}
    assert "not an image" in broken["error"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_errors_are_one_line_each(tmp_path):
    """A newline or a terminal's escape sequence in a name is escaped on stderr."""
    (tmp_path / "images").mkdir()
    path = tmp_path / "images" / "a\nb\x1b[2J.png"
    path.write_text("not an image")
    for options in [], ["-o", tmp_path / "x.jsonl"]:
        _, err = invoke(path.parent, *options, status=1)
        assert err.count("\n") == 1
        assert r"a\nb\x1b[2J.png" in err


def test_rows_hold_the_input_on_demand(folder, tmp_path):
    """With `--show`, a row holds the 28×28 pixels that the model was given."""
    row = json.loads(*Predictor(load_model("exp1"), show=True).rows([File(str(folder / "0.png"))]))
    pixels = np.asarray(Image.open(folder / "0.png"))
    assert np.array_equal(row["pixels"], pixels)


SETTINGS = Settings(("images",), "0" * 64, None, "mnist", False, "1.0")


def to_line(name, **fields):
    """Return a row."""
    return json.dumps({"file": name} | fields) + "\n"


LINES = [to_line(f"{index}.png", label=index) for index in range(5)]
LINES[2] = to_line("2.png", error="not an image")


@pytest.mark.parametrize("kept", range(6))
@pytest.mark.parametrize("torn", ["", '{"file": "', "\0\0\0"])
def test_an_interrupted_file_is_completed(tmp_path, kept, torn):
    """Whatever was written before, each file has one row at the end; a torn row is dropped."""
    out = tmp_path / "x.jsonl"
    with open_rows(out, SETTINGS) as rows:
        assert (rows.count, rows.errors) == (0, 0)
    out.write_text("".join(LINES[:kept]) + torn)
    with open_rows(out, SETTINGS) as rows:
        assert (rows.count, rows.errors) == (kept, kept > 2)
        for index, line in enumerate(LINES):
            assert (f"{index}.png" in rows) == (index < kept)
            if index >= kept:
                assert rows.append(line) == ("2.png: not an image" if index == 2 else None)
        assert (rows.count, rows.errors) == (5, 1)
    assert out.read_text() == "".join(LINES)


def test_other_settings_are_refused(tmp_path):
    """Another model, folder, option or version is named, and the rows stay."""
    out = tmp_path / "x.jsonl"
    with open_rows(out, SETTINGS) as rows:
        rows.append(LINES[0])
    for change in (
        {"images": ("others",)},
        {"weights": "1" * 64},
        {"labels": ("a", "b")},
        {"style": "plain"},
        {"show": True},
        {"library_version": "1.1"},
    ):
        refused = rf"other settings \({next(iter(change))}\).*delete it"
        with pytest.raises(InputError, match=refused), open_rows(out, replace(SETTINGS, **change)):
            pass
    assert out.read_text() == LINES[0]


def test_foreign_files_are_refused(tmp_path):
    """A file that the command did not write is not changed."""
    out = tmp_path / "x.jsonl"
    out.write_text("my notes")
    with pytest.raises(InputError, match="was not written by"), open_rows(out, SETTINGS):
        pass
    assert out.read_text() == "my notes"
    (tmp_path / "y.jsonl").mkdir()
    with pytest.raises(InputError, match="was not written by"):
        open_rows(tmp_path / "y.jsonl", SETTINGS).__enter__()
    out.unlink()
    stated = tmp_path / "x.settings.json"
    stated.write_text('{"mine": 1}')
    with pytest.raises(InputError, match=r"x\.settings\.json exists"), open_rows(out, SETTINGS):
        pass
    assert stated.read_text() == '{"mine": 1}'
    stated.unlink()
    with open_rows(out, SETTINGS):
        out.write_text('{"other": 1}\n')
    with pytest.raises(DataError, match="another line at number 1"), open_rows(out, SETTINGS):
        pass


@pytest.mark.skipif(os.name != "posix", reason="needs locks")
def test_two_processes_do_not_write_one_file(tmp_path):
    """A second command that writes the same file is refused."""
    out = tmp_path / "x.jsonl"
    with open_rows(out, SETTINGS) as rows:
        rows.append(LINES[0])
        again = open_rows(out, SETTINGS)
        with pytest.raises(FileWriteError, match="another process is using it"):
            again.__enter__()
    assert out.read_text() == LINES[0]


def test_names_that_are_not_unicode(tmp_path):
    """A file name of any bytes has a row, and is known again."""
    name, out = os.fsdecode(b"\xff.png"), tmp_path / "x.jsonl"
    with open_rows(out, SETTINGS) as rows:
        rows.append(error_row(name, "missing"))
    with open_rows(out, SETTINGS) as rows:
        assert name in rows


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_to_itself_has_an_error(folder, tmp_path):
    """A link that leads to itself costs only its own row."""
    (folder / "loop.png").symlink_to("loop.png")
    out, _ = invoke(folder, "-o", tmp_path / "out.jsonl", "--jobs", 1, status=1)
    assert "42 files, 2 of them cannot be read" in out


def test_a_command_resumes_and_adds_new_files(folder, tmp_path):
    """Files without a row get one, new ones too, and the others keep theirs."""
    out = tmp_path / "x.jsonl"
    invoke(folder, "-o", out, "--jobs", 2, status=1)
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(lines[:30]) + lines[30][:9])
    (folder / "0.png").rename(folder / "00.png")
    printed, _ = invoke(folder, "-o", out, "--jobs", 2, "--format", "json", status=1)
    assert json.loads(printed) == {"path": str(out), "files": 42, "errors": 1}
    new = json.dumps(json.loads(lines[0]) | {"file": str(folder / "00.png")}) + "\n"
    assert out.read_text() == "".join([*lines[:30], new, *lines[30:]])
    with pytest.raises(InputError, match="weights"):
        invoke(folder, "-o", out, "--model", "exp4")


def test_wrong_arguments_are_refused(folder, tmp_path):
    """Wrong usage and missing files are refused before the output exists."""
    out = tmp_path / "x.jsonl"
    for arguments in (
        ["-", "-o", out],
        [folder, "-o", tmp_path / "x.csv"],
        [folder, "--jobs", 2],
        [folder, "--ray", "auto"],
        [folder, "-o", out, "--ray", "auto", "--jobs", 2],
        ["-", "-"],
    ):
        invoke(*arguments, status=2)
    for arguments in [folder, folder / "0.png"], [folder, folder], ["absent.png"], [""]:
        with pytest.raises(MnistZooError, match=r"Name one\.|named twice|no such file"):
            invoke(*arguments, "-o", out)
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_command_is_ended_and_resumes(folder, tmp_path, few, number):
    """After Ctrl+C or a kill, the same command completes the rows; Ctrl+C says so."""
    for index in range(60):  # photographs take longer
        image = Image.fromarray(255 - few.images[index].numpy()).resize((400, 400))
        image.save(folder / f"photo{index}.png", compress_level=1)
    out = tmp_path / "x.jsonl"
    command = ["-m", "mnistzoo", "predict", folder, "-o", out, "--jobs", 2]
    program = warm.start(command)
    try:
        while not (out.exists() and out.read_bytes().count(b"\n") > 20):
            assert program.poll() is None, program.communicate()
            time.sleep(0.01)
        program.send_signal(number)
        printed, errors = program.communicate()
    finally:
        program.kill()
    rows = out.read_bytes().count(b"\n")
    assert rows < 101
    assert printed == ""
    if number == signal.SIGINT:
        assert program.returncode == 130
        assert errors.splitlines()[-1] == (
            f"mnistzoo: Interrupted. {out} keeps {rows} rows. Run the same command again to resume."
        )
    done = warm.run(command)
    assert (done.returncode, done.stdout) == (1, f"{out}: 101 files, 1 of them cannot be read\n")
    names = [row["file"] for row in read_rows(out)]
    assert len(names) == len(set(names)) == 101


class FatalFiles(Predictor):
    """Ends the process at some files."""

    def rows(self, files):
        """Return rows, or end the process."""
        if any("fatal" in file.name for file in files):
            os._exit(3)
        return super().rows(files)


def test_a_file_that_ends_its_process_has_an_error(folder):
    """The other files of its chunk have their predictions, in order."""
    paths = sorted(map(str, folder.glob("*.png")))
    paths[3:3] = ["fatal.png"]
    workers = LocalWorkers(FatalFiles(load_model("exp1")), 2)
    try:
        rows = [json.loads(row) for row in predict_files(map(File, paths), workers)]
    finally:
        workers.close()
    assert [row["file"] for row in rows] == paths
    assert [row["file"] for row in rows if "label" not in row] == ["fatal.png", paths[-1]]
    assert "process that read this file ended" in rows[3]["error"]


class BrokenPredictor(Predictor):
    """Cannot be sent to another process."""

    def __setstate__(self, state):
        """Fail where it is received."""
        os._exit(4)


def test_processes_that_do_not_start_are_an_error(folder):
    """If no process can start, that is one error, not an error for each file."""
    workers = LocalWorkers(BrokenPredictor(load_model("exp1")), 2)
    try:
        with pytest.raises(ClusterError, match="could not be started: exit status"):
            list(predict_files([File("x.png")], workers))
    finally:
        workers.close()


class RandomWorkers:
    """Finishes tasks in any order, and loses some."""

    def __init__(self, seed):
        self.random, self.running, self.starts = random.Random(seed), [], {}

    def count(self):
        """Return a number that changes."""
        return self.random.randint(1, 5)

    def start(self, task):
        """Start a task."""
        for file in task.files:
            self.starts[file.name] = self.starts.get(file.name, 0) + 1
        self.running.append(task)

    def wait(self):
        """Finish or lose a task."""
        task = self.running.pop(self.random.randrange(len(self.running)))
        if not (self.random.random() < 0.2 or any(file.name == "7" for file in task.files)):
            task.rows = [file.name for file in task.files]
        return [task]


@pytest.mark.parametrize("seed", range(20))
def test_rows_are_in_order_and_files_read_late(seed):
    """In whatever order tasks end, rows are in the order of the files, few of which are taken."""
    taken = []
    files = (taken.append(index) or File(str(index)) for index in range(1000))
    workers = RandomWorkers(seed)
    for count, row in enumerate(predict_files(files, workers)):
        if row != str(count):
            assert json.loads(row)["file"] == str(count)
            assert workers.starts[str(count)] == RETRIES + 2
        assert len(taken) - count <= (CHUNKS_AHEAD * 5 + 1) * CHUNK_FILES
    assert count == 999


def test_chunks_are_limited_in_number_and_bytes():
    """A chunk is full at a number of files or of bytes; an error has no size."""
    sizes = [2**23, 2**23, 5, 2**24, 0, 0]
    files = [File(str(size), bytes(size)) for size in sizes] + [File("x")] * 20
    found = [len(chunk) for chunk in to_chunks(files)]
    assert found == [2, 2, 16, 6]


def test_names_need_eight_bytes_each(tmp_path):
    """Of rows that were written before, only 64 bits for each name are kept."""
    names = [f"folder/{index}.png" for index in range(2000)]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps({"file": name, "label": 1}) + "\n" for name in names))
    with path.open("a+b") as file:
        file.seek(0)
        rows = Rows(file, Path(path))
    assert all(name in rows for name in names)
    assert not any(f"{name}x" in rows for name in names)
    assert rows._keys.nbytes == 8 * len(names)

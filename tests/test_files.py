"""Files are whole or absent, reads are bounded, and folders can be locked."""

import hashlib
import os
import re
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnistzoo
from mnistzoo.errors import FileReadError, FileWriteError, InputError, MnistZooError
from mnistzoo.files import locked, make_folder, move, read_bytes, sha256, write_bytes


@given(st.binary(max_size=300))
def test_round_trip(tmp_path_factory, data):
    """A written file reads back equal, and nothing else is left beside it."""
    folder = tmp_path_factory.mktemp("files")
    path = write_bytes(folder / "sub" / "sub" / "file", data)
    assert read_bytes(path, limit=300) == data
    assert sha256(data) == hashlib.sha256(data).hexdigest()
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_reads_are_bounded(tmp_path):
    """A file of exactly the limit is read; one byte more is refused."""
    path = write_bytes(tmp_path / "file", b"12345")
    assert read_bytes(path, limit=5) == b"12345"
    with pytest.raises(FileReadError, match="at most 4 bytes"):
        read_bytes(path, limit=4)


@pytest.mark.parametrize("name", ["absent", "."])
def test_unreadable_paths_are_refused(tmp_path, name):
    """A missing file, or a folder, is an OSError of this library that names it."""
    with pytest.raises(FileReadError, match=name):
        read_bytes(tmp_path / name, limit=10)
    assert issubclass(FileReadError, MnistZooError)
    assert issubclass(FileReadError, OSError)


def test_an_endless_device_is_not_held_in_memory():
    """Reading stops at the limit, so memory use is bounded too."""
    import tracemalloc

    tracemalloc.start()
    with pytest.raises(FileReadError, match="/dev/zero"):
        read_bytes("/dev/zero", limit=100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400_000


def test_folders_are_created_with_their_parents(tmp_path):
    """A folder that exists keeps its files."""
    folder = make_folder(str(tmp_path / "a" / "b" / "c"))
    assert folder == tmp_path / "a" / "b" / "c"
    (folder / "file").write_bytes(b"")
    assert make_folder(folder) == folder
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_move_replaces_a_file(tmp_path):
    """The target has the new content and the old name is gone. A missing file changes nothing."""
    one, two = (write_bytes(tmp_path / name, name.encode()) for name in ("one", "two"))
    move(one, two)
    assert two.read_bytes() == b"one"
    assert not one.exists()
    with pytest.raises(FileWriteError, match="two"):
        move(one, two)
    assert two.read_bytes() == b"one"


def free(folder, *, to_read=False):
    """Return whether the system would lock a folder at once, exclusively or for readers."""
    import fcntl

    kind = fcntl.LOCK_SH if to_read else fcntl.LOCK_EX
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such locks")
def test_locks_are_exclusive_or_shared(tmp_path):
    """A writer excludes all others, readers share; the lock ends with the block, or an error."""
    with locked(tmp_path):
        assert not free(tmp_path, to_read=True)
        with pytest.raises(FileWriteError, match="another process"), locked(tmp_path, wait=False):
            pytest.fail("both have it")
    with locked(tmp_path, wait=False):
        assert not free(tmp_path, to_read=True)
    assert free(tmp_path)
    with locked(tmp_path, shared=True), locked(tmp_path, shared=True):
        assert free(tmp_path, to_read=True)
        assert not free(tmp_path)
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    assert free(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="needs fork")
def test_a_lock_does_not_outlive_its_block_in_a_child(tmp_path, python):
    """The folder is free afterward, although a forked child inherited the descriptor."""
    out = python(
        "import os, signal, sys\nfrom pathlib import Path\nfrom mnistzoo.files import locked\n"
        "import fcntl\n"
        "with locked(Path(sys.argv[1])):\n"
        "    child = os.fork()\n"
        "    if not child: signal.pause()\n"
        "fd = os.open(sys.argv[1], os.O_RDONLY)\n"
        "try: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB); print('free')\n"
        "finally: os.kill(child, signal.SIGKILL)",
        str(tmp_path),
    )
    assert out == "free\n"


def test_a_missing_folder_needs_no_lock(tmp_path):
    """The read or write that follows reports it."""
    with locked(tmp_path / "absent"):
        assert not (tmp_path / "absent").exists()


def test_a_file_in_place_of_a_folder_is_unchanged(tmp_path):
    """Writing below a file fails and leaves it alone."""
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileWriteError, match="Choose a writable folder"):
        write_bytes(tmp_path / "file" / "below", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_failed_write_leaves_nothing(tmp_path):
    """When the last step fails, the target is unchanged and the temporary file is gone."""
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "inside").write_bytes(b"x")
    with pytest.raises(FileWriteError):
        write_bytes(tmp_path / "target", b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("path", ["", ".", "/"])
def test_a_path_without_a_name_is_refused(path):
    """An empty path, as of a variable that is not set, is an error that shows it."""
    with pytest.raises(FileWriteError, match=f"the path of a file, got '{re.escape(path)}'"):
        write_bytes(path, b"new")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs Linux's /proc")
def test_a_folder_that_refuses_is_reported():
    """Where no folder can be created, even by root, the error says what to do."""
    with pytest.raises(FileWriteError, match="Choose a writable folder"):
        write_bytes("/proc/mnistzoo/file", b"new")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX limits")
def test_a_full_disk_leaves_the_old_file(tmp_path):
    """When a write stops halfway, the old content stays and the part is gone."""
    import resource

    path = write_bytes(tmp_path / "file", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(FileWriteError, match="free space"):
            write_bytes(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_readers_never_see_a_part(tmp_path):
    """While one thread keeps replacing a file, another reads only whole versions."""
    versions = [bytes([i]) * 200_000 for i in range(4)]
    path = write_bytes(tmp_path / "file", versions[0])
    stop = threading.Event()

    def rewrite():
        while not stop.is_set():
            for data in versions:
                write_bytes(path, data)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(200):
            assert read_bytes(path, limit=200_000) in versions
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("path", ["", None, 3])
def test_an_empty_path_is_not_the_working_folder(path, tmp_path, monkeypatch):
    """Models and datasets are not read from or saved to a folder without a name."""
    monkeypatch.chdir(tmp_path)
    for act in (
        mnistzoo.exp1().save_pretrained,
        mnistzoo.from_pretrained,
        mnistzoo.load_dataset,
    ):
        with pytest.raises(InputError):
            act(path)
    assert list(tmp_path.iterdir()) == []

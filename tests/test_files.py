"""Files are whole or absent."""

import hashlib
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistzoo.errors import FileReadError, FileWriteError, MnistZooError
from mnistzoo.files import locked, make_folder, move, read_bytes, sha256, write_bytes


@given(st.binary(max_size=300))
def test_round_trip(tmp_path_factory, data):
    """What is written is read back, its digest is hashlib's, and nothing else is left beside it."""
    folder = tmp_path_factory.mktemp("files")
    path = write_bytes(folder / "sub" / "sub" / "file", data)
    assert read_bytes(path, limit=300) == data
    assert sha256(data) == hashlib.sha256(data).hexdigest()
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_limit(tmp_path):
    """A file of exactly the limit is read, one byte more is refused."""
    path = write_bytes(tmp_path / "file", b"12345")
    assert read_bytes(path, limit=5) == b"12345"
    with pytest.raises(FileReadError, match="larger than the 4 bytes"):
        read_bytes(path, limit=4)


@pytest.mark.parametrize("name", ["absent", "."])
def test_unreadable(tmp_path, name):
    """A missing file or a folder is an OSError of this library that names it."""
    with pytest.raises(FileReadError, match="check the path"):
        read_bytes(tmp_path / name, limit=10)
    assert issubclass(FileReadError, MnistZooError)
    assert issubclass(FileReadError, OSError)


def test_an_endless_device_is_not_held_in_memory():
    """Reading stops at the limit by itself: what was read is as long as that, not longer."""
    import tracemalloc

    tracemalloc.start()
    with pytest.raises(FileReadError, match="larger"):
        read_bytes("/dev/zero", limit=100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400_000


def test_a_folder_and_its_parents_are_made(tmp_path):
    """However deep; one that is there stays as it is."""
    folder = make_folder(str(tmp_path / "a" / "b" / "c"))
    assert folder == tmp_path / "a" / "b" / "c"
    (folder / "file").write_bytes(b"")
    assert make_folder(folder) == folder
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_a_file_takes_the_place_of_another(tmp_path):
    """What was there is gone, and so is the old name; a file that is missing changes nothing."""
    one, two = (write_bytes(tmp_path / name, name.encode()) for name in ("one", "two"))
    move(one, two)
    assert two.read_bytes() == b"one"
    assert not one.exists()
    with pytest.raises(FileWriteError, match="No such file"):
        move(one, two)
    assert two.read_bytes() == b"one"


def free(folder, *, to_read=False):
    """Whether the system would lock a folder at once, for one alone or for readers."""
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
def test_a_folder_is_locked(tmp_path):
    """Alone or for readers together; free again afterwards, also when something was raised."""
    with locked(tmp_path):
        assert not free(tmp_path, to_read=True)
        with pytest.raises(FileWriteError, match="wait until"), locked(tmp_path, wait=False):
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
    """A child forked inside holds the descriptor too, and yet the folder is free afterwards."""
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


def test_what_cannot_be_locked_is_used_all_the_same(tmp_path):
    """A folder that does not exist is no error here; the reading or writing says so."""
    with locked(tmp_path / "absent"):
        assert not (tmp_path / "absent").exists()


def test_a_folder_in_the_way(tmp_path):
    """Where a file stands as the parent folder, the error says so and nothing is changed."""
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileWriteError, match="choose a folder"):
        write_bytes(tmp_path / "file" / "below", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_failed_write_leaves_nothing(tmp_path):
    """When the last step fails, the old file stands and the temporary one is gone."""
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "inside").write_bytes(b"x")
    with pytest.raises(FileWriteError):
        write_bytes(tmp_path / "target", b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["target"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs Linux's /proc")
def test_a_folder_that_refuses():
    """Where no folder can be made, even by root, the error says what to do."""
    with pytest.raises(FileWriteError, match="choose a folder"):
        write_bytes("/proc/mnistzoo/file", b"new")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX limits")
def test_no_room(tmp_path):
    """When the bytes stop fitting half-way, the old file stands and the part is gone."""
    import resource

    path = write_bytes(tmp_path / "file", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(FileWriteError, match="has room"):
            write_bytes(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_readers_never_see_a_part(tmp_path):
    """While one thread replaces a file again and again, another only ever reads whole versions."""
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

"""Programs that are forked from a warm process do not inherit its state."""

import os

import warm


def test_a_program_has_its_own_temporary_folder(tmp_path):
    """The process that it is forked from may have started under another `TMPDIR`."""
    code = "import tempfile; print(tempfile.gettempdir())"
    for folder in tmp_path / "one", tmp_path / "two":
        folder.mkdir()
        done = warm.run(["-c", code], env={**os.environ, "TMPDIR": str(folder)})
        assert done.stdout == f"{folder}\n"

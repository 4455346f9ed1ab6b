"""The examples in docs/how-to/hub.md, run against the local server."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(
    r"^```python\n(.*?)^```",
    (ROOT / "docs" / "how-to" / "hub.md").read_text("utf8"),
    re.DOTALL | re.MULTILINE,
)
RUN = """
import contextlib, io, os
os.chdir(folder)
with contextlib.redirect_stdout(io.StringIO()) as out:
    exec(block, {})
result = out.getvalue().splitlines()
"""


@pytest.mark.parametrize("block", BLOCKS)
def test_python_blocks_run(hub, client, block, tmp_path):
    """Each Python block runs and prints what its comments say."""
    hub.repos.pop("user/name", None)
    (tmp_path / "hubconf.py").symlink_to(ROOT / "hubconf.py")
    printed = client.run(RUN, block=block, folder=str(tmp_path))
    assert printed == re.findall(r"^print\(.*\)\s+# (.*)$", block, re.MULTILINE)

"""A model added as in `docs/development/adding.md` can be pushed and pulled."""

import json
import os
import shlex

from server import WRITER


def test_an_added_model_can_be_pushed_and_pulled(lfs_hub, added, tmp_path, monkeypatch):
    """`push` uploads the adopted file itself, and `pull` downloads it."""
    for name in [name for name in os.environ if name.startswith("HF_")]:
        monkeypatch.delenv(name)
    settings = {"HF_ENDPOINT": lfs_hub.url, "HF_HOME": tmp_path / "home", "HF_TOKEN": WRITER}
    for name, value in {**settings, "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_XET": "1"}.items():
        monkeypatch.setenv(name, str(value))
    lfs_hub.faults.clear()
    pushed, pulled = added.commands(
        "push exp6 user/added --format json",
        shlex.join(["pull", "user/added", "-o", str(tmp_path / "down"), "--format", "json"]),
    )
    assert json.loads(pushed)["changed"]
    assert json.loads(pulled)["model"] == "exp6"
    adopted = (added.folder / "weights" / "exp6.safetensors").read_bytes()
    assert (tmp_path / "down" / "model.safetensors").read_bytes() == adopted
    code = "import sys, mnistzoo; print(mnistzoo.from_pretrained(sys.argv[1]).num_params())"
    assert int(added.python("-c", code, tmp_path / "down")) == 5306

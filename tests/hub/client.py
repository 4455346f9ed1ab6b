"""A process with the real Hub client that runs the code it is sent.

It reads JSON lines `{"code", "given"}`, runs the code with the given variables, and answers with
its `result` or its error. Torch and the Hub client are imported once for many tests.
"""

import contextlib
import hashlib
import io
import json
import os
import sys
import traceback

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # prints must not mix with the answers

import torch  # noqa: E402 - after stdout is safe

import mnistzoo  # noqa: E402

torch.set_num_threads(1)


def fresh(name: str, seed: int = 0, num_classes: int = 10):
    """Return a model with random weights and statistics, the same on each call."""
    torch.manual_seed(seed)
    model = mnistzoo.get_model(name, num_classes=num_classes)
    model.train()
    with torch.no_grad():
        model(torch.rand(8, 1, 28, 28))
    return model.eval()


def digest(model) -> str:
    """Return the SHA-256 of a model's outputs for 16 fixed images."""
    images = torch.linspace(-0.4, 2.8, 16 * 784).view(16, 1, 28, 28).sin()
    with torch.no_grad():
        outputs = model(images).numpy().tobytes()
    return hashlib.sha256(outputs).hexdigest() + (" training" if model.training else "")


def command(*args: str) -> dict:
    """Run a command and return its output and status."""
    from mnistzoo.cli import main

    out, err, status = io.StringIO(), io.StringIO(), 0
    sys.argv = ["mnistzoo", *args]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            status = stop.code or 0
    return {"out": out.getvalue(), "err": err.getvalue(), "status": status}


def serve() -> None:
    """Answer each line until stdin ends."""
    shared = {"mnistzoo": mnistzoo, "torch": torch, "fresh": fresh, "digest": digest}
    for line in sys.stdin:
        asked = json.loads(line)
        names = {**shared, "command": command, **asked["given"]}
        try:
            exec(asked["code"], names)
            answer = {"result": names.get("result")}
        except Exception as error:
            traceback.print_exc()
            kinds = [kind.__name__ for kind in type(error).__mro__]
            answer = {"kinds": kinds, "message": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()

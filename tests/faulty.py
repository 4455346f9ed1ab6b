"""Faults that need a process which may fork: `faulty.py ACTION FOLDER`, for `test_faults.py`.

An action prints its findings as JSON.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path

import torch
from msgspec.structs import replace

import mnistzoo
from dying import deaths, killed_after_bytes
from mnistzoo import MnistZooError, exp1, exp5
from mnistzoo.data.mnist import Digits
from mnistzoo.export import export
from mnistzoo.training import inputs, loop
from mnistzoo.training.recipes import get_recipe
from mnistzoo.training.run import Run


def model(seed: int) -> mnistzoo.models.convnet.ConvNet:
    """Return an exp1 with the weights of a seed."""
    torch.manual_seed(seed)
    return exp1().eval()


def held(folder: Path, models: dict[str, mnistzoo.models.convnet.ConvNet]) -> str:
    """Return the name of the model in a folder, or the class of the error on loading it."""
    try:
        found = mnistzoo.from_pretrained(folder).state_dict()
    except MnistZooError as error:
        return type(error).__name__
    for name, candidate in models.items():
        if all(torch.equal(value, found[key]) for key, value in candidate.state_dict().items()):
            return name
    return "torn"


def save(folder: Path) -> list[list[str]]:
    """Kill two saves in a row at each step; report the model then, and after a retry."""
    models = {"old": model(1), "new": model(2)}
    outcomes = []
    models["old"].save_pretrained(folder / "warm")  # imports what saving needs
    for number, step in deaths(lambda number: _save_over(models, folder / str(number))):
        here = folder / str(number)
        after = held(here, models)
        models["new"].save_pretrained(here)
        outcomes.append([step, after, held(here, models)])
    return outcomes


def _save_over(models: dict[str, mnistzoo.models.convnet.ConvNet], here: Path) -> None:
    """Save one model in a new folder, then another over it."""
    models["old"].save_pretrained(here)
    models["new"].save_pretrained(here)


def save_midway(folder: Path) -> list[list[object]]:
    """Let the system kill a save once one of its files has reached so many bytes."""
    models = {"old": model(1), "new": model(2)}
    outcomes = []
    for count in (0, 1, 300, 1_000, 4_096, 50_000, 2**20):
        here = folder / str(count)
        models["old"].save_pretrained(here)
        died = killed_after_bytes(count, lambda here=here: models["new"].save_pretrained(here))
        outcomes.append([count, died, held(here, models)])
    return outcomes


def train(folder: Path) -> list[list[object]]:
    """Kill a run at each step; report the model then, and where resuming ends."""
    few = Digits(*(tensor[:40] for tensor in mnistzoo.mnist(train=False)))
    inputs.mnist = lambda train: few
    recipe = replace(get_recipe("record", "exp1"), epochs=2, batch_size=20)
    run = Run("exp1", recipe)
    whole = loop.train_run(run, folder / "whole")
    models = {"whole": mnistzoo.from_pretrained(folder / "whole")}
    outcomes = []
    for number, step in deaths(lambda number: loop.train_run(run, folder / str(number))):
        here = folder / str(number)
        after, finished, trained = held(here, models), (here / "metrics.json").exists(), []
        again = loop.train_run(
            run, here, on_batch=lambda _, count, seen=trained: seen.append(count)
        )
        same = again.sha256 == whole.sha256 and held(here, models) == "whole"
        outcomes.append([step, after, finished, len(trained), same])
    return outcomes


def write_export(folder: Path) -> list[list[str]]:
    """Kill an export over an older file at each step; report which of the two files is there."""
    old, new = model(1), model(2)
    whole = {}
    for name, made in (("old", old), ("new", new)):
        whole[export(made, folder / f"{name}.onnx").path.read_bytes()] = name

    def before(number: int) -> None:
        (folder / f"{number}.onnx").write_bytes((folder / "old.onnx").read_bytes())

    def over(number: int) -> None:
        export(new, folder / f"{number}.onnx")

    return [
        [step, whole.get((folder / f"{number}.onnx").read_bytes(), "torn")]
        for number, step in deaths(over, before)
    ]


def crowd(folder: Path) -> list[str]:
    """Save and load from 32 processes in one folder; report what they load."""
    models = {str(seed): model(seed) for seed in range(4)}
    models["0"].save_pretrained(folder)
    start, go = os.pipe()
    children = []
    for index in range(32):
        child = os.fork()
        if not child:
            os.close(go)
            os.read(start, 1)  # returns when the parent, having forked all, closes its end
            found = set()
            for turn in range(3):
                models[str((index + turn) % 4)].save_pretrained(folder)
                found |= {held(folder, models) for _ in range(2)}
            (folder.parent / f"found-{index}").write_text(json.dumps(sorted(found)))
            os._exit(0)
        children.append(child)
    os.close(go)
    ended = {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}
    assert ended == {0}
    found = [json.loads((folder.parent / f"found-{index}").read_text()) for index in range(32)]
    litter = {path.name for path in folder.iterdir()}
    assert litter == {"config.json", "model.safetensors", "README.md"}, litter
    return sorted(set().union(*found))


def fork(folder: Path) -> list[int]:
    """Fork after predicting on two threads; report whether each child predicts the same."""
    torch.set_num_threads(2)
    trained, images = exp5(pretrained=True), list(mnistzoo.mnist(train=False).images[:200])
    outcomes = []
    for given in (images[0], images):
        expected = trained.predict(given)
        child = os.fork()
        if not child:
            signal.alarm(600)  # ends one that waits for threads which no fork copies
            os._exit(0 if trained.predict(given) == expected else 3)
        outcomes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        assert trained.predict(given) == expected
    assert torch.get_num_threads() == 2
    return outcomes


def threads(folder: Path) -> int:
    """Predict on 16 threads at once; count the predictions that differ from those of one."""
    trained, images = exp5(pretrained=True), list(mnistzoo.mnist(train=False).images[:32])
    expected = [trained.predict(image) for image in images]
    wrong = []

    def compare(first: int) -> None:
        order = [*range(first, 32), *range(first)]
        wrong.extend(i for i in order if trained.predict(images[i]) != expected[i])

    together = [threading.Thread(target=compare, args=(2 * index,)) for index in range(16)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    return len(wrong)


ACTIONS = {
    action.__name__: action
    for action in (save, save_midway, train, write_export, crowd, fork, threads)
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(ACTIONS[sys.argv[1]](Path(sys.argv[2]))))

"""What `test_faults.py` runs in a process of its own, which may fork: `faulty.py ACTION FOLDER`.

What an action finds goes to stdout as JSON.
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
from mnistzoo.training import runs
from mnistzoo.training.recipes import get_recipe
from mnistzoo.training.run import Run


def network(seed: int) -> mnistzoo.models.convnet.ConvNet:
    """An exp1 that its seed tells from others."""
    torch.manual_seed(seed)
    return exp1().eval()


def held(folder: Path, networks: dict[str, mnistzoo.models.convnet.ConvNet]) -> str:
    """The name of the network that a folder holds; else the class of the error."""
    try:
        found = mnistzoo.from_pretrained(folder).state_dict()
    except MnistZooError as error:
        return type(error).__name__
    for name, model in networks.items():
        if all(torch.equal(value, found[key]) for key, value in model.state_dict().items()):
            return name
    return "torn"


def save(folder: Path) -> list[list[str]]:
    """Kill two saves in a row at each step: what is there then, and after a retry."""
    networks = {"old": network(1), "new": network(2)}
    outcomes = []
    networks["old"].save_pretrained(folder / "warm")  # what saving imports is imported
    for number, step in deaths(lambda number: _save_over(networks, folder / str(number))):
        here = folder / str(number)
        after = held(here, networks)
        networks["new"].save_pretrained(here)
        outcomes.append([step, after, held(here, networks)])
    return outcomes


def _save_over(networks: dict[str, mnistzoo.models.convnet.ConvNet], here: Path) -> None:
    """Save one, then the other; the first finds no folder."""
    networks["old"].save_pretrained(here)
    networks["new"].save_pretrained(here)


def save_midway(folder: Path) -> list[list[object]]:
    """Let the system kill a save when a file of it has grown to so many bytes."""
    networks = {"old": network(1), "new": network(2)}
    outcomes = []
    for count in (0, 1, 300, 1_000, 4_096, 50_000, 2**20):
        here = folder / str(count)
        networks["old"].save_pretrained(here)
        died = killed_after_bytes(count, lambda here=here: networks["new"].save_pretrained(here))
        outcomes.append([count, died, held(here, networks)])
    return outcomes


def train(folder: Path) -> list[list[object]]:
    """Kill a run at each step: what is there then, and what going on comes to."""
    few = Digits(*(tensor[:40] for tensor in mnistzoo.mnist(train=False)))
    runs.mnist = lambda train: few
    recipe = replace(get_recipe("record", "exp1"), epochs=2, batch_size=20)
    run = Run("exp1", recipe)
    whole = runs.train(run, folder / "whole")
    networks = {"whole": mnistzoo.from_pretrained(folder / "whole")}
    outcomes = []
    for number, step in deaths(lambda number: runs.train(run, folder / str(number))):
        here = folder / str(number)
        after, finished, trained = held(here, networks), (here / "metrics.json").exists(), []
        again = runs.train(run, here, on_batch=lambda _, count, seen=trained: seen.append(count))
        same = again.sha256 == whole.sha256 and held(here, networks) == "whole"
        outcomes.append([step, after, finished, len(trained), same])
    return outcomes


def write_export(folder: Path) -> list[list[str]]:
    """Kill an export over an older file at each step: which of the two is there, byte for byte."""
    old, new = network(1), network(2)
    whole = {}
    for name, model in (("old", old), ("new", new)):
        whole[export(model, folder / f"{name}.onnx").path.read_bytes()] = name

    def before(number: int) -> None:
        (folder / f"{number}.onnx").write_bytes((folder / "old.onnx").read_bytes())

    def over(number: int) -> None:
        export(new, folder / f"{number}.onnx")

    return [
        [step, whole.get((folder / f"{number}.onnx").read_bytes(), "torn")]
        for number, step in deaths(over, before)
    ]


def crowd(folder: Path) -> list[str]:
    """What 32 processes find that save and load in one folder at once."""
    networks = {str(seed): network(seed) for seed in range(4)}
    networks["0"].save_pretrained(folder)
    start, go = os.pipe()
    children = []
    for index in range(32):
        child = os.fork()
        if not child:
            os.close(go)
            os.read(start, 1)  # returns once all are there, and the parent has closed its end
            found = set()
            for turn in range(3):
                networks[str((index + turn) % 4)].save_pretrained(folder)
                found |= {held(folder, networks) for _ in range(2)}
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
    """How children end that compare their answers with those of a parent that used two threads."""
    torch.set_num_threads(2)
    model, images = exp5(pretrained=True), list(mnistzoo.mnist(train=False).images[:200])
    outcomes = []
    for pictures in (images[0], images):
        expected = model.predict(pictures)
        child = os.fork()
        if not child:
            signal.alarm(60)  # one that waits for threads that are not there would wait for ever
            os._exit(0 if model.predict(pictures) == expected else 3)
        outcomes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        assert model.predict(pictures) == expected
    assert torch.get_num_threads() == 2
    return outcomes


def threads(folder: Path) -> int:
    """How many of 16 threads that predict at once differ from the answers of one."""
    model, images = exp5(pretrained=True), list(mnistzoo.mnist(train=False).images[:32])
    expected = [model.predict(image) for image in images]
    wrong = []

    def compare(first: int) -> None:
        order = [*range(first, 32), *range(first)]
        wrong.extend(i for i in order if model.predict(images[i]) != expected[i])

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

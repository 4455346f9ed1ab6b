"""The C program of the docs: it compiles, computes what PyTorch computes, and refuses bad input."""

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
import torch

import mnistzoo
from mnistzoo.architectures import ARCHITECTURES, Conv
from mnistzoo.storage.manifest import FOLDER, read_manifest

DOCS = Path(__file__).parent.parent / "docs"
COMPILER = shutil.which("cc")
STRICT = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Werror")
WATCHED = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
IMAGES = 8

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler, cc")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program, with sanitizers where the compiler has them."""
    made = tmp_path_factory.mktemp("c") / "digits"
    command = [COMPILER, *STRICT, "-o", made, DOCS / "c" / "digits.c", "-lm"]
    if subprocess.run([*command, *WATCHED], capture_output=True, check=False).returncode:
        subprocess.run(command, check=True)
    return made


def run(program, weights, layers, images):
    """Run the program on uint8 images and return the finished process."""
    data = struct.pack(">IIII", 0x803, len(images), 28, 28) + images.numpy().tobytes()
    return subprocess.run(
        [program, weights, layers],
        input=data,
        capture_output=True,
        check=False,
        env={"ASAN_OPTIONS": "detect_leaks=0"},
    )


def layers_of(architecture):
    """Return an architecture in the program's letters."""
    kinds = [
        ("C" if layer.padding else "c") if isinstance(layer, Conv) else "p"
        for layer in architecture.layers
    ]
    return "".join(kinds)


@pytest.mark.parametrize("name", mnistzoo.list_models())
def test_it_computes_what_torch_computes(program, name, test_images, normalized):
    """For every model the digits are equal, the log-probabilities within 1e-4."""
    done = run(
        program,
        FOLDER / read_manifest()[name].file,
        layers_of(ARCHITECTURES[name]),
        test_images.images[:IMAGES],
    )
    assert (done.returncode, done.stderr) == (0, b"")
    rows = [line.split() for line in done.stdout.decode().splitlines()]
    found = torch.tensor([[float(number) for number in row[1:]] for row in rows])
    with torch.no_grad():
        expected = mnistzoo.get_model(name, pretrained=True)(normalized[:IMAGES])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert [int(row[0]) for row in rows] == expected.argmax(1).tolist()


def test_the_page_names_the_layers_of_every_model():
    """The page's table of letters describes the architectures."""
    rows = re.findall(r"^\| (exp.*?) \| `(.*?)` \|$", (DOCS / "c.md").read_text("utf8"), re.M)
    shown = {name: letters for names, letters in rows for name in names.split(", ")}
    assert shown == {name: layers_of(row) for name, row in ARCHITECTURES.items()}


@pytest.mark.parametrize("share", [0, 1, 7, 8, 100, 1000, 4000, 20_000, 70_000])
def test_a_truncated_file_is_an_error(program, tmp_path, share, test_images):
    """Wherever a weight file ends early, one line says so and nothing is read beyond it."""
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((FOLDER / "exp5.safetensors").read_bytes()[:share])
    done = run(program, cut, "cccpccpCC", test_images.images[:1])
    assert (done.returncode, done.stdout) == (1, b"")
    assert re.fullmatch(rb"digits: .*\n", done.stderr)


@pytest.mark.parametrize("layers", ["ccp", "cccpccpCCC", "cccpccp", "x", "pppppp", "c" * 40, ""])
def test_layers_that_do_not_fit_are_an_error(program, layers, test_images):
    """Layers of another model, or unknown letters, are refused in one line."""
    done = run(program, FOLDER / "exp5.safetensors", layers, test_images.images[:1])
    assert (done.returncode, done.stdout) == (1, b"")
    assert re.fullmatch(rb"digits: .*\n", done.stderr)

"""Exported C headers: compiled, run, and held to the NumPy reference to the last bit."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from typer.testing import CliRunner

import microcontroller
import mnistzoo
from mnistzoo.architectures import Architecture, Conv, Pool
from mnistzoo.cli import app
from mnistzoo.errors import InputError
from mnistzoo.export import export
from mnistzoo.export.c_header import build_header
from mnistzoo.export.integer_quantization import CALIBRATION_IMAGES, MAX_SUM, quantize
from mnistzoo.images.transforms import normalize
from mnistzoo.inference import NumpyModel
from mnistzoo.models.convnet import ConvNet
from mnistzoo.training.fake_quantization import FakeQuantized

COMPILER = shutil.which("cc")
STRICT = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
SANITIZED = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
NAMES = mnistzoo.list_models()
DIGITS = [str(digit) for digit in range(10)]
NUM_MACS = 4_300_920
"""Of exp5, for one image."""

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler, cc")

MAIN = """
#include <stdio.h>
#include "model.h"

int main(void) {
    uint8_t image[784];
    int8_t scores[model_CLASSES];
    while (fread(image, 1, sizeof image, stdin) == sizeof image) {
        printf("%d", model_predict(image, scores));
        for (int k = 0; k < model_CLASSES; k++) printf(" %d", scores[k]);
        printf("\\n");
    }
    return 0;
}
"""
"""Reads images from standard input, and prints a label and scores for each."""


def numpy_model(model):
    state_dict = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return NumpyModel.from_state_dict(model.architecture, state_dict)


def integers(name, bits):
    images = mnistzoo.mnist(train=True).images[:100].numpy()
    return quantize(numpy_model(mnistzoo.get_model(name, pretrained=True)), images, bits)


def compiled(folder, text):
    """Compile a header with a program around it, with sanitizers where the compiler has them."""
    (folder / "model.h").write_text(text, encoding="utf8")
    (folder / "main.c").write_text(MAIN)
    command = [COMPILER, *STRICT, "-o", folder / "main", folder / "main.c"]
    if subprocess.run([*command, *SANITIZED], capture_output=True, check=False).returncode:
        subprocess.run(command, check=True)
    return folder / "main"


def run(program, images):
    """Return what a program prints for images: a row of integers for each."""
    done = subprocess.run(
        [program],
        input=images.tobytes(),
        capture_output=True,
        check=False,
        env={"ASAN_OPTIONS": "detect_leaks=0"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return np.array([list(map(int, line.split())) for line in done.stdout.splitlines()])


def assert_same(text, model, images, folder):
    rows = run(compiled(folder, text), images)
    np.testing.assert_array_equal(rows[:, 0], model.sums(images).argmax(1))
    np.testing.assert_array_equal(rows[:, 1:], model.scores(images))


@needs_compiler
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", NAMES)
def test_answers_are_those_of_the_reference(tmp_path, test_images, name, bits):
    """On test images, noise, black and white, labels and scores are equal to the last bit."""
    model = integers(name, bits)
    noise = np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8)
    extremes = np.stack([np.zeros((28, 28), np.uint8), np.full((28, 28), 255, np.uint8)])
    images = np.concatenate([test_images.images[:20].numpy(), noise, extremes])
    assert_same(build_header(model, "model", name, DIGITS).text, model, images, tmp_path)


@needs_compiler
def test_other_architectures(tmp_path, test_images):
    """Padding in the middle, no pool, one channel and 26 classes give the reference's answers."""
    layers = (Conv(3), Conv(1, padding=1), Conv(5, padding=1), Pool(), Conv(4, padding=1))
    model = ConvNet(Architecture("other", layers), num_classes=26).eval()
    images = test_images.images[:10].numpy()
    made = quantize(numpy_model(model), images)
    text = build_header(made, "model", "other", [chr(97 + k) for k in range(26)]).text
    assert_same(text, made, images, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_quantized_predictions(test_images, name):
    """At 8 bits, at most 2 of the first 1,000 test images change their label; at 4 bits, 20."""
    images = test_images.images[:1000]
    model = mnistzoo.get_model(name, pretrained=True).fused()
    expected = model(normalize(images)).argmax(1).numpy()
    for bits, allowed in ((8, 2), (4, 20)):
        found = integers(name, bits).sums(images.numpy()).argmax(1)
        assert (found != expected).sum() <= allowed


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", NAMES)
def test_no_sum_can_overflow(name, bits):
    """For any image, every partial sum of every layer stays within 32 bits."""
    model = integers(name, bits)
    for convolution in model.convolutions:
        weights = np.abs(convolution.weight.astype(np.int64)).reshape(len(convolution.bias), -1)
        rounding = 1 << convolution.shift.astype(np.int64)
        bound = 255 * weights.sum(axis=1) + np.abs(convolution.bias.astype(np.int64)) + rounding
        assert bound.max() <= MAX_SUM
    weights = np.abs(model.classifier.astype(np.int64)).reshape(len(model.bias), -1)
    assert (255 * weights.sum(axis=1) + np.abs(model.bias.astype(np.int64))).max() <= MAX_SUM


def test_flash_and_ram(tmp_path):
    """exp5 takes at most 18 kB of constants and 8 kB of RAM at 8 bits, 9.5 kB at 4 bits."""
    model = mnistzoo.exp5(pretrained=True)
    eight = export(model, tmp_path / "eight.h")
    four = export(model, tmp_path / "four.h", bits=4)
    assert eight.bits == 8
    assert (eight.flash <= 18_000, eight.ram <= 8_000, four.flash <= 9_500) == (True, True, True)
    text = eight.path.read_text("utf8")
    assert f"{eight.flash:,} bytes of weights, {eight.ram:,} bytes of RAM" in text
    assert re.findall("#include.*", text) == ["#include <stdint.h>"]


def test_weights_trained_for_four_bits_are_taken(tmp_path):
    """The command takes them for a header of 4 bits and says so, unless others are named."""
    for options, name in (
        (["--bits", "4"], "exp5.four-bit"),
        (["--bits", "4", "--weights", "mnist"], "exp5"),
        ([], "exp5"),
    ):
        file = tmp_path / "exp5.h"
        done = CliRunner().invoke(app, ["export", "exp5", "-o", str(file), *options])
        assert done.exit_code == 0, done.output
        assert f"{name} as h" in " ".join(done.stdout.split())


@pytest.mark.slow
def test_accuracy_of_four_bits(test_images):
    """The header of exp5 with weights trained for 4 bits classifies 99.53% of the test images."""
    images = mnistzoo.mnist(train=True).images[:CALIBRATION_IMAGES].numpy()
    module = FakeQuantized(mnistzoo.exp5(pretrained="four-bit"), 4, images)
    assert mnistzoo.evaluate(module, test_images).correct == pytest.approx(9953, abs=3)


@needs_compiler
def test_constants_and_state_are_as_large_as_stated(tmp_path):
    """The compiler's own sizes of the arrays and of the state are the stated flash and RAM."""
    made = build_header(integers("exp5", 8), "model", "exp5", DIGITS)
    names = re.findall(r"static const \w+ (model_\w+)\[", made.text)
    arrays = " + ".join(f"sizeof {name}" for name in names if name != "model_layers")
    (tmp_path / "model.h").write_text(made.text, encoding="utf8")
    body = f'printf("%d %d", (int)({arrays}), (int)sizeof(model_state));'
    main = f'#include <stdio.h>\n#include "model.h"\nint main(void) {{ {body} return 0; }}\n'
    (tmp_path / "main.c").write_text(main)
    command = [COMPILER, "-std=c99", "-o", tmp_path / "main", tmp_path / "main.c"]
    subprocess.run(command, check=True)
    flash, ram = subprocess.run([tmp_path / "main"], capture_output=True, check=True).stdout.split()
    assert int(flash) == made.flash
    assert 0 <= int(ram) - made.ram < 4  # padding at the end of the struct


@needs_compiler
def test_text_cannot_end_the_comment(tmp_path, test_images):
    """Titles and labels with marks of comments, quotes and other alphabets compile."""
    model = integers("exp1", 8)
    title = 'A "title" */ int x = ; /*/ \u202e ??/ \\'
    labels = ["*/", "\\", '"', "ж", "</script>", "/*", "\n", *DIGITS[7:]]
    assert_same(
        build_header(model, "model", title, labels).text,
        model,
        test_images.images[:2].numpy(),
        tmp_path,
    )


@needs_compiler
@pytest.mark.parametrize("dead", ["features.conv1.weight", "features.conv2.weight"])
def test_channels_of_zeros(tmp_path, test_images, dead):
    """A layer whose weights are all zero has answers like the reference's, and like the model's."""
    model = mnistzoo.exp1(pretrained=True)
    model.get_parameter(dead).data.zero_()
    images = test_images.images[:10]
    made = quantize(numpy_model(model), images.numpy())
    text = build_header(made, "model", "exp1", DIGITS).text
    assert_same(text, made, images.numpy(), tmp_path)
    expected = model(normalize(images)).argmax(1).numpy()
    np.testing.assert_array_equal(made.sums(images.numpy()).argmax(1), expected)


@pytest.mark.parametrize(
    ("layers", "message"),
    [((Conv(4, padding=1), Pool()), "without padding"), ((Conv(4), Pool(), Pool()), "before each")],
)
def test_unsupported_architectures_are_refused(test_images, layers, message):
    """What the C code cannot run is refused, and the message names another export."""
    model = ConvNet(Architecture("other", layers)).eval()
    with pytest.raises(InputError, match=rf"{message}.*ONNX"):
        quantize(numpy_model(model), test_images.images[:2].numpy())


@pytest.mark.parametrize(
    ("parameter", "value"), [("classifier.weight", 1.0), ("classifier.bias", 1e12)]
)
def test_sums_that_could_overflow_are_refused(test_images, parameter, value):
    """67,600 equal weights, or a bias beyond 32 bits, are refused before they wrap around."""
    model = ConvNet(Architecture("wide", (Conv(100),))).eval()
    model.get_parameter(parameter).data.fill_(value)
    with pytest.raises(InputError, match=r"within 32 bits, got up to .*ONNX"):
        quantize(numpy_model(model), test_images.images[:2].numpy())


@needs_compiler
def test_layers_of_many_channels(tmp_path, test_images):
    """300 channels, and three rows of them beyond 64 kB, have the reference's answers."""
    layers = (Conv(300), Conv(300), Pool(), Conv(300), Conv(2))
    model = ConvNet(Architecture("wide", layers)).eval()
    images = test_images.images[:1].numpy()
    made = quantize(numpy_model(model), images, 4)
    assert_same(build_header(made, "model", "wide", DIGITS).text, made, images, tmp_path)


needs_emulator = pytest.mark.skipif(
    not (microcontroller.CROSS_COMPILER and microcontroller.QEMU),
    reason="needs gcc-arm-none-eabi and qemu-system-arm",
)


@needs_emulator
@pytest.mark.parametrize("cpu", microcontroller.BOARDS)
@pytest.mark.parametrize("bits", [8, 4])
def test_microcontrollers(test_images, cpu, bits):
    """A Cortex-M0+ and an M4 with 8 kB of RAM give the reference's answers for exp5."""
    model, images = integers("exp5", bits), test_images.images[:2].numpy()
    header = build_header(model, "model", "exp5", DIGITS).text
    instructions, labels, scores = microcontroller.run(header, images, cpu, ram=8_000)
    np.testing.assert_array_equal(labels, model.sums(images).argmax(1))
    np.testing.assert_array_equal(scores, model.scores(images))
    assert instructions > NUM_MACS


LOOP = """
#include <stdint.h>
enum { model_CLASSES = 1 };
static int model_predict(const uint8_t image[784], int8_t scores[1]) {
    uint32_t left = image[0] * 10000u;
    __asm__ volatile(".syntax unified\\n1: subs %0, %0, #1\\n bne 1b" : "+l"(left) : : "cc");
    scores[0] = 0;
    return 0;
}
"""


@needs_emulator
@pytest.mark.parametrize("cpu", microcontroller.BOARDS)
def test_instructions_are_counted(cpu):
    """A million more rounds of a loop of two instructions take two million instructions more."""
    counts = [
        microcontroller.run(LOOP, np.full((1, 28, 28), rounds, np.uint8), cpu, ram=8_000)[0]
        for rounds in (100, 200)
    ]
    assert counts[1] - counts[0] == pytest.approx(2_000_000, abs=200)

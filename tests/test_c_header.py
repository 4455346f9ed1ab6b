"""Exported C headers: compiled, run, and held to the NumPy reference to the last bit."""

import re
import shutil
import subprocess

import numpy as np
import pytest

import mnistzoo
from mnistzoo.architectures import Architecture, Conv, Pool
from mnistzoo.errors import InputError
from mnistzoo.export import export
from mnistzoo.export.c_header import build_header
from mnistzoo.export.integers import MAX_SUM, quantize
from mnistzoo.images.transforms import normalize
from mnistzoo.inference import NumpyModel
from mnistzoo.models.convnet import ConvNet

COMPILER = shutil.which("cc")
STRICT = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
SANITIZED = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
NAMES = mnistzoo.list_models()
DIGITS = [str(digit) for digit in range(10)]

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
    """Titles and labels with comment ends, quotes and other alphabets compile."""
    model = integers("exp1", 8)
    title = 'A "title" */ int x = ; \\'
    labels = ["*/", "\\", '"', "ж", *DIGITS[4:]]
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


BARE_METAL = r"""
#include "model.h"
#include "images.h"

/* A request to the debugger, which QEMU answers: 3 writes a character, 0x18 exits. */
static void semihost(int operation, const void *argument) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void print(int value, char end) {
    char digits[4], sign = '-';
    int count = 0;
    if (value < 0) semihost(3, &sign);
    for (int left = value < 0 ? -value : value; left || !count; left /= 10)
        digits[count++] = (char)('0' + left % 10);
    while (count) semihost(3, &digits[--count]);
    semihost(3, &end);
}

static void start(void) {
    int8_t scores[model_CLASSES];
    for (int i = 0; i < COUNT; i++) {
        print(model_predict(images[i], scores), ' ');
        for (int k = 0; k < model_CLASSES; k++)
            print(scores[k], k < model_CLASSES - 1 ? ' ' : '\n');
    }
    semihost(0x18, (void *)0x20026);
}

typedef struct {
    uint32_t stack;
    void (*start)(void);
} Vectors;

__attribute__((section(".vectors"), used)) static const Vectors vectors = {STACK_TOP, start};
"""
"""Prints a label and scores for each image, without an operating system."""

LINKER_SCRIPT = """
SECTIONS {
  . = 0;
  .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) }
  .static : { *(.data*) *(.bss*) }
  ASSERT(SIZEOF(.static) == 0, "static variables need RAM")
}
"""

CROSS_COMPILER, QEMU = shutil.which("arm-none-eabi-gcc"), shutil.which("qemu-system-arm")

RAM = 8_000
"""Bytes of RAM: the stack starts that high, and what is below the first byte does not exist."""


@pytest.mark.skipif(
    not (CROSS_COMPILER and QEMU), reason="needs gcc-arm-none-eabi and qemu-system-arm"
)
@pytest.mark.parametrize(("cpu", "board"), [("m0plus", "microbit"), ("m4", "mps2-an386")])
@pytest.mark.parametrize("bits", [8, 4])
def test_microcontrollers(tmp_path, test_images, cpu, board, bits):
    """A Cortex-M0+ and an M4 with 8 kB of RAM give the reference's answers for exp5."""
    model, images = integers("exp5", bits), test_images.images[:3].numpy()
    rows = ",\n".join(f"{{{', '.join(map(str, image.ravel()))}}}" for image in images)
    files = {
        "model.h": build_header(model, "model", "exp5", DIGITS).text,
        "images.h": f"enum {{ COUNT = {len(images)} }};\n"
        f"static const uint8_t images[COUNT][784] = {{{rows}}};\n",
        "main.c": BARE_METAL,
        "link.ld": LINKER_SCRIPT,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf8")
    target = (f"-mcpu=cortex-{cpu}", "-mthumb", "-ffreestanding", "-nostdlib", "-T", "link.ld")
    stack = f"-DSTACK_TOP={0x20000000 + RAM // 8 * 8}"
    command = [CROSS_COMPILER, *STRICT, *target, stack, "main.c", "-lgcc", "-o", "main.elf"]
    subprocess.run(command, cwd=tmp_path, check=True)
    emulator = [QEMU, "-M", board, "-nographic", "-semihosting", "-kernel", "main.elf"]
    done = subprocess.run(
        emulator,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()  # where QEMU writes what the program prints
    found = np.array([list(map(int, line.split())) for line in lines])
    np.testing.assert_array_equal(found[:, 0], model.sums(images).argmax(1))
    np.testing.assert_array_equal(found[:, 1:], model.scores(images))

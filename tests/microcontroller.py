"""Emulated microcontrollers: a C header runs on a Cortex-M0+ or M4 in QEMU, bare metal."""

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

CROSS_COMPILER, QEMU = shutil.which("arm-none-eabi-gcc"), shutil.which("qemu-system-arm")

FLAGS = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror")

BOARDS = {"m0plus": ("microbit", 16), "m4": ("mps2-an386", 25)}
"""QEMU's board for each processor, and the MHz of its timer. The M0 of a micro:bit has the
instructions of an M0+."""

PROGRAM = r"""
#include "model.h"
#include "images.h"

/* A request to the debugger, which QEMU answers: 3 writes a character, 0x18 exits. */
static void semihost(int operation, const void *argument) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void print(int value, char end) {
    char digits[10], sign = '-';
    int count = 0;
    if (value < 0) semihost(3, &sign);
    for (int left = value < 0 ? -value : value; left || !count; left /= 10)
        digits[count++] = (char)('0' + left % 10);
    while (count) semihost(3, &digits[--count]);
    semihost(3, &end);
}

/* The timer of every Cortex-M: control, reload, and the current value, which counts down. */
static volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010;

static void start(void) {
    int8_t scores[model_CLASSES];
    systick[1] = 0xFFFFFF;
    systick[2] = 0;
    systick[0] = 5;
    for (int i = 0; i < COUNT; i++) {
        uint32_t before = systick[2];
        int label = model_predict(images[i], scores);
        uint32_t ticks = (before - systick[2]) & 0xFFFFFF;
        print((int)ticks, ' ');
        print(label, ' ');
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
"""Prints ticks of the timer, a label and scores for each image, without an operating system."""

LINKER_SCRIPT = """
SECTIONS {
  . = 0;
  .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) }
  .static : { *(.data*) *(.bss*) }
  ASSERT(SIZEOF(.static) == 0, "static variables need RAM")
}
"""


def run(header, images, cpu, ram):
    """Run a header whose model is called `model`; return instructions, labels and scores.

    With `-icount shift=0`, QEMU's clock advances by a nanosecond per instruction, so the timer
    counts instructions, to within 63 of them.

    Args:
        header: The text of the header.
        images: uint8, shape `(N, 28, 28)`.
        cpu: "m0plus" or "m4".
        ram: Bytes of RAM: the stack starts that high; below its end there is no memory.

    Returns:
        Mean number of instructions for an image; labels, shape `(N,)`; scores, shape `(N, 10)`.
    """
    board, megahertz = BOARDS[cpu]
    with TemporaryDirectory() as folder:
        program = _compile(Path(folder), header, images, cpu, ram)
        options = ("-nographic", "-icount", "shift=0", "-semihosting", "-kernel", program)
        done = subprocess.run(
            [QEMU, "-M", board, *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()  # where QEMU writes what the program prints
    rows = np.array([list(map(int, line.split())) for line in lines])
    return rows[:, 0].mean() * 1000 / megahertz, rows[:, 1], rows[:, 2:]


def _compile(folder, header, images, cpu, ram):
    rows = ",\n".join(f"{{{', '.join(map(str, image.ravel()))}}}" for image in images)
    files = {
        "model.h": header,
        "images.h": f"enum {{ COUNT = {len(images)} }};\n"
        f"static const uint8_t images[COUNT][784] = {{{rows}}};\n",
        "main.c": PROGRAM,
        "link.ld": LINKER_SCRIPT,
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf8")
    target = (f"-mcpu=cortex-{cpu}", "-mthumb", "-ffreestanding", "-nostdlib", "-T", "link.ld")
    stack = f"-DSTACK_TOP={0x20000000 + ram // 8 * 8}"
    command = [CROSS_COMPILER, *FLAGS, *target, stack, "main.c", "-lgcc", "-o", "main.elf"]
    subprocess.run(command, cwd=folder, check=True, env={"PATH": os.environ["PATH"]})
    return folder / "main.elf"

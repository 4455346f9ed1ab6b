"""Measure the C headers: `python tests/benchmarks/c_header.py > docs/how-to/c.csv`.

Accuracy is that of the header's integers, which `FakeQuantized` computes in float32
(`pytest tests/test_c_header.py tests/test_fake_quantization.py`). Instructions are counted by QEMU,
per image. They need Debian's packages gcc-arm-none-eabi and qemu-system-arm.
"""

import sys
from pathlib import Path

import mnistzoo
from mnistzoo.export.c_header import build_header
from mnistzoo.export.integer_quantization import CALIBRATION_IMAGES, quantize
from mnistzoo.inference import load_model
from mnistzoo.storage.manifest import read_manifest
from mnistzoo.tables import Table
from mnistzoo.training.fake_quantization import FakeQuantized

sys.path.insert(0, str(Path(__file__).parents[1]))
import microcontroller

COUNTED, RAM = 3, 8_000

HEADERS = (
    *("model", "bits", "constants (bytes)", "RAM (bytes)", "test accuracy"),
    *("instructions, Cortex-M0+", "instructions, Cortex-M4"),
)


def main(names: list[str]) -> None:
    """Print a row of CSV for each name, which may be that of trained weights, and bits."""
    rows = [
        (name, bits, *measure(name, bits))
        for name in names or read_manifest()
        for bits in ((4,) if name.endswith("four-bit") else (8, 4))
        if "world" not in name
    ]
    print(Table(HEADERS, rows).to_csv(), end="")


def measure(name, bits):
    """Return bytes of constants and RAM, accuracy, and instructions per image on each processor."""
    calibration = mnistzoo.mnist(train=True).images[:CALIBRATION_IMAGES].numpy()
    test = mnistzoo.mnist(train=False)
    made = quantize(load_model(name), calibration, bits)
    header = build_header(made, "model", "model", [str(digit) for digit in range(10)])
    images = test.images[:COUNTED].numpy()
    counts = [
        round(microcontroller.run(header.text, images, cpu, RAM)[0], -3)
        for cpu in microcontroller.BOARDS
    ]
    model = mnistzoo.get_model(name, pretrained=True)
    accuracy = mnistzoo.evaluate(FakeQuantized(model, bits, calibration), test).accuracy
    return header.flash, header.ram, f"{accuracy:.2%}", *(f"{count:.0f}" for count in counts)


if __name__ == "__main__":
    main(sys.argv[1:])

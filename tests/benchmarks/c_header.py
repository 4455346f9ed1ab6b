"""Print flash, RAM and test accuracy of the C headers: `python tests/benchmarks/c_header.py`.

Accuracy is that of the NumPy reference, which the compiled headers equal to the last bit
(`pytest tests/test_c_header.py`).
"""

import mnistzoo
from mnistzoo.export import CALIBRATION_IMAGES
from mnistzoo.export.c_header import build_header
from mnistzoo.export.integers import quantize
from mnistzoo.inference import NumpyModel
from mnistzoo.tables import Table

BATCH = 250


def main() -> None:
    """Print a row of CSV for each model and number of bits."""
    images, labels = (tensor.numpy() for tensor in mnistzoo.mnist(train=False))
    calibration = mnistzoo.mnist(train=True).images[:CALIBRATION_IMAGES].numpy()
    rows = []
    for name in mnistzoo.list_models():
        model = mnistzoo.get_model(name, pretrained=True)
        state_dict = {key: tensor.numpy() for key, tensor in model.state_dict().items()}
        arrays = NumpyModel.from_state_dict(model.architecture, state_dict)
        for bits in (8, 4):
            made = quantize(arrays, calibration, bits)
            header = build_header(made, name, name, [str(digit) for digit in range(10)])
            starts = range(0, len(images), BATCH)
            found = [made.sums(images[at : at + BATCH]).argmax(1) for at in starts]
            batches = zip(found, starts, strict=True)
            correct = sum(int((x == labels[at : at + BATCH]).sum()) for x, at in batches)
            rows.append((name, bits, header.flash, header.ram, f"{correct / len(images):.2%}"))
    headers = ("model", "bits", "constants (bytes)", "RAM (bytes)", "test accuracy")
    print(Table(headers, rows).to_csv(), end="")


if __name__ == "__main__":
    main()

"""Compare ways to quantize, on held-out training images: how far each moves the outputs.

Run by hand: `python tests/benchmarks/int8.py`. It prints the table of docs/explanation/int8.md. The
images are the last 10,000 training images; calibration sees the first 500. For each way it counts
the predictions that differ from the float model's, and sums how far the ten probabilities move.
"""

import numpy as np
import onnx
import torch
from inference import session
from torch import Tensor

import mnistzoo
from mnistzoo.export import CALIBRATION_IMAGES, int8_graph
from mnistzoo.export.quantization import quantize, quantize_graph, weight_scales
from mnistzoo.images.transforms import normalize
from mnistzoo.models.convnet import ConvNet
from mnistzoo.tables import Table


def quantized(model: ConvNet, images: np.ndarray) -> dict[str, onnx.ModelProto]:
    """Quantize a fused model in every way."""
    graph = int8_graph.build(model)
    pairs = {"TensorQuantOverrides": weight_scales(graph)}
    return {
        "8 bits (can saturate)": quantize_graph(graph, images),
        "7 bits": quantize_graph(graph, images, reduce_range=True),
        "pairs within 128": quantize_graph(graph, images, extra_options=pairs),
        "pairs within 128, float logits": quantize(model, images),
    }


def outputs(model: onnx.ModelProto, images: Tensor) -> Tensor:
    """Return the probabilities of each image."""
    call = session(model.SerializeToString(), threads=1)
    return torch.cat([torch.from_numpy(call(part)[0]) for part in images.split(250)]).exp()


def main() -> None:
    """Print the table."""
    torch.set_grad_enabled(False)
    images = normalize(mnistzoo.mnist(train=True).images)
    calibration, held_out = images[:CALIBRATION_IMAGES].numpy(), images[-10_000:]
    rows = []
    for name in mnistzoo.list_models():
        model = mnistzoo.get_model(name, pretrained=True).fused()
        model = model.to(memory_format=torch.contiguous_format)
        expected = torch.cat([model(part) for part in held_out.split(250)]).exp()
        for way, graph in quantized(model, calibration).items():
            found = outputs(graph, held_out)
            differ = int((found.argmax(1) != expected.argmax(1)).sum())
            moved = float((found - expected).abs().sum(1).mean())
            rows.append([name, way, str(differ), f"{moved:.5f}"])
    headers = ("model", "weights", "other predictions", "probabilities moved")
    print(Table(headers, rows, text_columns=2).to_markdown())


if __name__ == "__main__":
    main()

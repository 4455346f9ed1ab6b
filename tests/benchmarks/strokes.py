"""Quantiles of MNIST's stroke widths, on training images: `python tests/benchmarks/strokes.py`.

`mnistzoo.images.rendering` measures widths in the same way: four times the median depth of the
pixels above half level, eight times enlarged, in pixels of the 20×20 box.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from mnistzoo.data.mnist import mnist

COUNT, SUPERSAMPLING = 2000, 8


def main() -> None:
    """Print the quantiles."""
    widths = []
    side = 28 * SUPERSAMPLING
    for image in mnist(train=True).images[:COUNT].numpy():
        large = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
        mask = np.asarray(large) > 127
        depth = ndimage.distance_transform_edt(mask)
        widths.append(4 * np.median(depth[mask]) / SUPERSAMPLING)
    for share in (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99):
        print(f"{share:.0%} of {COUNT:,} images are below {np.quantile(widths, share):.2f}")


if __name__ == "__main__":
    main()

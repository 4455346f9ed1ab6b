"""How wide MNIST's strokes are: `python tests/benchmarks/strokes.py`, on training images.

Measured as `mnistzoo.images.rendering` measures a pen: four times the median depth of the pixels
above half of the ink's level, eight times enlarged, in pixels of the 20×20 box.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from mnistzoo.data.mnist import mnist

COUNT, FINE = 2000, 8


def main() -> None:
    """Print the quantiles."""
    widths = []
    for image in mnist(train=True).images[:COUNT].numpy():
        large = Image.fromarray(image).resize((28 * FINE, 28 * FINE), Image.Resampling.BICUBIC)
        ink = np.asarray(large) > 127
        depth = ndimage.distance_transform_edt(ink)
        widths.append(4 * np.median(depth[ink]) / FINE)
    for share in (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99):
        print(f"{share:.0%} of {COUNT:,} images are below {np.quantile(widths, share):.2f}")


if __name__ == "__main__":
    main()

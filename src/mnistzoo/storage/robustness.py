"""Accuracy of the shipped weights on corrupted test images, for model cards.

Measured by `python tests/benchmarks/robustness.py --count 2000`: the 15 corruptions of MNIST-C (Mu
and Gilmer 2019, arXiv:1906.02337), reimplemented, on the first 2,000 test images.
"""

IMAGES = 2_000
"""The number of images of each corruption."""

WEIGHTS = ("exp1", "exp2", "exp3", "exp4", "exp4.world", "exp5", "exp5.world")
"""The columns of `CORRECT`."""

CORRECT = {
    "shot noise": (1783, 1906, 1835, 1917, 1936, 1895, 1918),
    "impulse noise": (1291, 1084, 773, 1720, 1896, 1670, 1902),
    "glass blur": (1711, 1717, 600, 1853, 1902, 1555, 1934),
    "motion blur": (1889, 1900, 1286, 1927, 1954, 1895, 1967),
    "shear": (1951, 1971, 1976, 1979, 1974, 1980, 1976),
    "scale": (1928, 1960, 1957, 1937, 1970, 1961, 1976),
    "rotate": (1902, 1936, 1945, 1948, 1950, 1949, 1950),
    "brightness": (230, 192, 192, 606, 1983, 630, 1988),
    "translate": (1562, 1869, 1911, 1886, 1890, 1917, 1899),
    "stripe": (1397, 1177, 1079, 1619, 1912, 1534, 1892),
    "fog": (225, 200, 192, 257, 1977, 205, 1975),
    "spatter": (1922, 1928, 1809, 1911, 1935, 1920, 1935),
    "dotted line": (1790, 1887, 1866, 1954, 1976, 1952, 1978),
    "zigzag": (1404, 1524, 1437, 1654, 1846, 1604, 1837),
    "canny edges": (1283, 868, 1001, 1401, 1916, 1608, 1891),
}
"""Images classified correctly, by corruption."""


def robustness(weights: str) -> dict[str, float]:
    """Return the accuracy of shipped weights by corruption; empty if it was not measured.

    >>> robustness("exp5.world")["fog"]
    0.9875
    """
    if weights not in WEIGHTS:
        return {}
    column = WEIGHTS.index(weights)
    return {name: row[column] / IMAGES for name, row in CORRECT.items()}

"""Search for input that makes a reader fail, guided by coverage.

    python tests/fuzz/fuzz.py TARGET [-runs=1000000] [other options of libFuzzer]

TARGET is weights, config, idx, image or manifest. Needs atheris (Linux or macOS). The search ends
with status 0 after the runs, or at the first input that raises an error of another library. That
input is left in the working folder as `crash-…`.
"""

import atexit
import shutil
import sys
import tempfile

import atheris

with atheris.instrument_imports(include=["mnistzoo", "PIL", "json", "gzip", "safetensors"]):
    import targets
    from PIL import (  # noqa: F401 - Pillow would import them later, uninstrumented
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

DEFAULTS = ["-runs=1000000", "-rss_limit_mb=1024", "-timeout=10", "-max_len=4096", "-seed=1"]


def main() -> None:
    """Fuzz one target; new inputs go to a temporary folder."""
    target, *options = sys.argv[1:]
    found = tempfile.mkdtemp(prefix="fuzz-")
    atexit.register(shutil.rmtree, found)  # libFuzzer ends the process itself
    folders = [found, str(targets.CORPUS / target)]
    atheris.Setup([sys.argv[0], *DEFAULTS, *options, *folders], targets.TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""Entry points for `torch.hub.load("owner/mnistzoo", "exp5", pretrained=True)`.

They are the library's own functions, imported from this checkout, which contains the weights.
"""

import sys
from pathlib import Path

dependencies = ["torch", "safetensors", "msgspec"]

_SOURCE = str(Path(__file__).resolve().parent / "src")
sys.path.insert(0, _SOURCE)
try:
    from mnistzoo.models import (  # noqa: F401 - torch.hub finds them
        exp1,
        exp2,
        exp3,
        exp4,
        exp5,
        get_model,
    )
finally:
    sys.path.remove(_SOURCE)

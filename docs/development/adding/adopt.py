"""Add the weights of a finished run to the pretrained ones: adopt.py MODEL RUN_FOLDER."""

import sys
from pathlib import Path

from mnistzoo.zoo import adopt

model, folder = sys.argv[1:]
entry = adopt(model, Path(folder) / "model.safetensors")
print(f"{model}: {entry.correct:,} of the 10,000 test images correct")

"""Time a warm pull from the Hub against `exp5(pretrained=True)`.

Run by hand: `python tests/benchmarks/hub.py`. It starts the tests' own server, pulls once, then
times fresh processes that load both ways. A warm pull waits for nothing, so processor time is
measured, and the smallest of several runs counts.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "hub")]

from server import Hub  # noqa: E402 - after the path

import mnistzoo  # noqa: E402

LIMIT = 50

TIMED = """
import sys, time
import torch, mnistzoo
from mnistzoo import exp5

torch.set_num_threads(1)
times = [time.process_time()]
exp5(pretrained=True)
times.append(time.process_time())
from huggingface_hub import CommitOperationAdd, HfApi, try_to_load_from_cache
times.append(time.process_time())
mnistzoo.from_pretrained("user/exp5", revision=sys.argv[1])
times.append(time.process_time())
print(*(after - before for before, after in zip(times, times[1:])))
"""


def main(repeats: int = 3) -> None:
    """Print the time of each step in milliseconds, and fail above the limit."""
    with tempfile.TemporaryDirectory() as home, Hub(lfs=True) as hub:
        folder = Path(home) / "exp5"
        mnistzoo.exp5(pretrained=True).save_pretrained(folder)
        repo = hub.make("user/exp5", {path.name: path.read_bytes() for path in folder.iterdir()})
        run(hub.url, home, repo.heads["main"])
        hub.requests.clear()
        runs = [run(hub.url, home, repo.heads["main"]) for _ in range(repeats)]
        print(f"requests made by {repeats} warm pulls: {len(hub.requests)}")
    bundled, client, warm = (1000 * min(values) for values in zip(*runs, strict=True))
    print(f"exp5(pretrained=True) {bundled:.1f} ms, importing huggingface_hub {client:.1f} ms")
    print(
        f"warm pull {warm:.1f} ms: it adds {warm - bundled:.1f} ms; at most {LIMIT} ms are allowed"
    )
    sys.exit(warm - bundled > LIMIT)


def run(endpoint: str, home: str, commit: str) -> list[float]:
    """Return the processor seconds of each step, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED, commit],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "src"),
            "HF_ENDPOINT": endpoint,
            "HF_HOME": home,
            "NO_PROXY": "127.0.0.1,localhost",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(value) for value in done.stdout.split()]


if __name__ == "__main__":
    main()

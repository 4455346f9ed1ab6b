"""What a warm pull costs beyond `exp5(pretrained=True)` and importing `huggingface_hub`.

Run by hand: `python tests/benchmarks/hub.py`. It starts the tests' own server, pulls once, then
times fresh processes, each of which loads either way. A warm pull waits for nothing, so its time is
that of the processor, which a busy machine disturbs least; the smallest of them is the figure.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "hub")]

from server import Hub  # noqa: E402 - after the path

import mnistzoo  # noqa: E402
from mnistzoo.weights import read_manifest  # noqa: E402

LIMIT = 0.050

SETUP = "import sys, time, torch, mnistzoo; from mnistzoo import exp5; torch.set_num_threads(1)"
CLIENT = "from huggingface_hub import CommitOperationAdd, HfApi, try_to_load_from_cache"
BUNDLED = "exp5(pretrained=sys.argv[2] == 'True').eval()"
WARM = "mnistzoo.from_pretrained('user/exp5', revision=sys.argv[1])"
TIMED = "{setup}\nstart = time.process_time()\n{run}\nprint(time.process_time() - start)"

CASES = {
    "exp5(pretrained=True)": (SETUP, BUNDLED),
    "importing huggingface_hub": (SETUP, CLIENT),
    "warm pull of a commit, client imported": (f"{SETUP}; {CLIENT}", WARM),
    "warm pull of a commit, all of it": (SETUP, WARM),
}


def main(repeats: int = 7) -> None:
    """Print each case's time in milliseconds, and the difference that is promised."""
    shipped = "exp5" in read_manifest()
    with tempfile.TemporaryDirectory() as home, Hub(lfs=True) as hub:
        folder = Path(home) / "exp5"
        mnistzoo.get_model("exp5", pretrained=shipped).save_pretrained(folder)
        repo = hub.make("user/exp5", {path.name: path.read_bytes() for path in folder.iterdir()})
        arguments = [repo.heads["main"], str(shipped)]
        run(SETUP, WARM, hub.url, home, arguments)
        hub.requests.clear()
        times = {
            name: [run(*case, hub.url, home, arguments) for _ in range(repeats)]
            for name, case in CASES.items()
        }
        print(f"requests made by {2 * repeats} warm pulls: {len(hub.requests)}")
    for name, values in times.items():
        least, median = (1000 * f(values) for f in (min, statistics.median))
        print(f"{name:40} {least:7.1f} ms at best, {median:7.1f} ms in the middle")
    bundled, client, _, warm = (min(values) for values in times.values())
    added = warm - bundled - client
    print(f"a warm pull adds {1000 * added:.1f} ms; at most {1000 * LIMIT:.0f} ms are allowed")
    sys.exit(added > LIMIT)


def run(setup: str, code: str, endpoint: str, home: str, arguments: list[str]) -> float:
    """Seconds that code takes in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(setup=setup, run=code), *arguments],
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
    return float(done.stdout)


if __name__ == "__main__":
    main()

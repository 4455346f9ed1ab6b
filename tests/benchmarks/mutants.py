"""Draw a sample of the mutants that `mutmut` makes, and count how many the tests killed.

    python tests/benchmarks/mutants.py sample 300 0  # 300 names, drawn with seed 0
    python tests/benchmarks/mutants.py table         # the counts, in Markdown

`mutmut run NAMES` makes all mutants and runs those named; without names, it runs all.
"""

import json
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path

from mutmut.stats import status_by_exit_code

DEAD = {"killed", "timeout", "segfault"}
"""The tests also notice a mutant that never ends or crashes."""


def mutants() -> dict[str, int | None]:
    """Return the exit code of each mutant by name; None for those that were not run."""
    found = {}
    for path in sorted(Path("mutants/src").rglob("*.meta")):
        found |= json.loads(path.read_text())["exit_code_by_key"]
    return found


def sample(count: str, seed: str) -> None:
    """Print the names of `count` mutants."""
    print("\n".join(random.Random(int(seed)).sample(list(mutants()), int(count))))


def table() -> None:
    """Print how many mutants of each module were made, run and killed."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for name, code in mutants().items():
        module = name.removeprefix("mnistzoo.").rpartition(".")[0]
        status = status_by_exit_code[code]
        for row in (module, "all"):
            counts[row]["made"] += 1
            counts[row]["run"] += status != "not checked"
            counts[row]["killed"] += status in DEAD
    print("| module | mutants | run | killed | share |\n| --- | ---: | ---: | ---: | ---: |")
    for module, row in counts.items():
        share = f"{row['killed'] / row['run']:.0%}" if row["run"] else ""
        print(f"| {module} | {row['made']:,} | {row['run']:,} | {row['killed']:,} | {share} |")


if __name__ == "__main__":
    {"sample": sample, "table": table}[sys.argv[1]](*sys.argv[2:])

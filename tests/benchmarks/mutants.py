"""Which mutants to run, and what became of them; `mutmut` makes and runs them.

    python tests/benchmarks/mutants.py sample 300 0    # of all, drawn with the seed 0
    python tests/benchmarks/mutants.py table                          # in Markdown

`mutmut run` makes the mutants first; give it the names that `sample` prints, or none for all.
"""

import json
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path

from mutmut.stats import status_by_exit_code

DEAD = {"killed", "timeout", "segfault"}
"""A mutant that never ends, or takes all the memory it is given, is found out too."""


def mutants() -> dict[str, int | None]:
    """The exit code of every mutant by its name; None where it was not run."""
    found = {}
    for path in sorted(Path("mutants/src").rglob("*.meta")):
        found |= json.loads(path.read_text())["exit_code_by_key"]
    return found


def sample(count: str, seed: str) -> None:
    """Print so many names."""
    print("\n".join(random.Random(int(seed)).sample(list(mutants()), int(count))))


def table() -> None:
    """Print, for each module, how many mutants there are, how many were run, and how many died."""
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

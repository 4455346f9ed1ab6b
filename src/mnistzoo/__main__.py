"""Run the command line: `mnistzoo`, or `python -m mnistzoo`."""

import gc
import sys

ALLOCATIONS = 200_000
"""How many objects to make before Python looks for cycles. Importing torch makes 200,000."""


def main() -> None:
    """Run the command line. Ctrl+C prints one line even during the import."""
    gc.set_threshold(ALLOCATIONS)
    try:
        from mnistzoo.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("mnistzoo: Interrupted.\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()

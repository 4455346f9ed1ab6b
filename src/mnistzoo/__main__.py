"""Run the command line: `mnistzoo`, or `python -m mnistzoo`."""

import gc
import sys

GC_THRESHOLD = 200_000
"""More than Python's default: imports create many objects, and nearly all of them stay."""


def main() -> None:
    """Run the command line. Ctrl+C prints one line even during the import."""
    gc.set_threshold(GC_THRESHOLD)
    try:
        from mnistzoo.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("mnistzoo: Interrupted.\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()

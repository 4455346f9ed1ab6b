"""Run the command line: `mnistzoo`, or `python -m mnistzoo`."""

import sys


def main() -> None:
    """Run the command line. Ctrl+C prints one line even during the import."""
    try:
        from mnistzoo.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("mnistzoo: Interrupted.\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()

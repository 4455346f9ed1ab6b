"""Run the command line: `python -m mnistzoo`."""

from mnistzoo.cli import main

if __name__ == "__main__":
    main()

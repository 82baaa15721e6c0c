"""`python -m beadseg` is the `beadseg` command."""

from beadseg.cli import main

if __name__ == "__main__":
    main()

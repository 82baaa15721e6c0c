"""The subcommands of `beadseg`, a module each: `add` its parser, `run` it.

These modules import what is slow inside `run`: jax is not imported to print help.
"""

import argparse

Subparsers = argparse._SubParsersAction  # which argparse does not name

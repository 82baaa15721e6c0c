"""The type of what argparse gives out for subcommands, which it does not name."""

import argparse

Subparsers = argparse._SubParsersAction

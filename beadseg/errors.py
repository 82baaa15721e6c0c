"""The one kind of error that beadseg shows to a person."""


class BeadsegError(Exception):
    """Something a user can put right.

    The message is one line: what is wrong, where, and what to do. The commands print
    it without a traceback and exit with code 2 (1 if only part of the work failed).
    """

    exit_code = 2
    everywhere = False  # of several processes of a run, each raises it at the same step

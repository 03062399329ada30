"""
The one way this package fails on purpose: what is wrong, and what to do about it.

People meet these lines before any page of the documentation, so a traceback is kept for our own
bugs. Whatever the machine lacks (namespaces, disk, a compiler, the network) or the user wrote
(an inventory, an option) becomes a `Trouble`; `__main__` prints it as one line and exits with its
code. Code that can mend the matter itself does so and raises nothing.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How `python -m devcluster` ends."""

    STOPPED = 0
    """Asked to end, or done."""

    FAILED = 1
    """A program of the cluster did not do its part; its log says why."""

    MISTAKE = 2
    """An option or the inventory is wrong: the user can correct it."""

    MACHINE = 3
    """This machine lacks or forbids something."""


class Trouble(Exception):
    """Something outside this program stands in the way, and the user can change it."""

    def __init__(
        self, *, problem: str, remedy: str, exit_code: ExitCode = ExitCode.MACHINE
    ) -> None:
        """
        Put *problem* and *remedy* into one line.

        Args:
            problem: A sentence that names the thing (file, field, program, folder).

            remedy: An imperative sentence, or several if they are alternatives.
        """
        super().__init__(f"{problem} {remedy}")
        self.problem = problem
        self.remedy = remedy
        self.exit_code = exit_code

"""
The one way these scripts fail on purpose: a sentence, and what to do about it.

A newcomer meets these lines before any page of the product, so a traceback is reserved for our
own bugs. Everything the machine may lack (network, a free port, a writable folder) becomes a
`Trouble`, and the entry points print it as one line and exit with its code.
"""

from __future__ import annotations


class Trouble(Exception):
    """Something outside this program stands in the way, and the user can change it."""

    def __init__(self, *, problem: str, remedy: str, exit_code: int = 1) -> None:
        """
        Put *problem* and *remedy* into one line.

        Args:
            problem: What is wrong, naming the thing (folder, port, command).

            remedy: What the user can do, as an imperative sentence.

            exit_code: Of the program; never 0.
        """
        super().__init__(f"{problem} {remedy}")
        self.problem = problem
        self.remedy = remedy
        self.exit_code = exit_code

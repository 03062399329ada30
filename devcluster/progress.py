"""
Show how far a long piece of work is, so that nobody wonders whether it hangs.

On a terminal one line that is drawn again; elsewhere (a log, CI) a plain line every few seconds.
The count is of steps that were really done, the remaining time is extrapolated from those of this
run and said only when there are enough of them to mean something.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

_PLAIN_SECONDS = 10.0
_DRAW_SECONDS = 0.1
_MEANINGFUL = 100
"""Steps before a rate is worth telling."""


class Progress:
    """Steps done of all."""

    def __init__(
        self,
        what: str,
        *,
        total: int,
        done: int = 0,
        stream: TextIO = sys.stderr,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            what: Before the numbers, such as "compiling kube".

            total: Of all steps, 0 if nobody knows.

            done: Before this run.
        """
        self._what = what
        self._total = total
        self._done = self._before = done
        self._stream = stream
        self._clock = clock
        self._began = clock()
        self._shown = float("-inf")
        self._draws = stream.isatty()

    def __enter__(self) -> Self:
        """Show the beginning."""
        self._show()
        return self

    def __exit__(self, *_: object) -> None:
        """Show the end."""
        self._show()
        if self._draws:
            self._stream.write("\n")

    def step(self) -> None:
        """Count a step."""
        self._done += 1
        interval = _DRAW_SECONDS if self._draws else _PLAIN_SECONDS
        if self._clock() - self._shown >= interval:
            self._show()

    def words(self) -> str:
        """Return what is shown."""
        passed = self._clock() - self._began
        if not self._total:
            return f"{self._what}: {self._done}, {_time(passed)}"
        done = min(self._done, self._total)
        words = f"{self._what}: {done} of {self._total} packages, {_time(passed)}"
        steps = done - self._before
        if steps >= _MEANINGFUL and done < self._total:
            words += f", some {_time(passed / steps * (self._total - done))} left"
        return words

    def _show(self) -> None:
        self._shown = self._clock()
        words = self.words()
        if not self._draws:
            self._stream.write(f"devcluster: {words}\n")
        else:
            width = max(20, shutil.get_terminal_size().columns - 1)
            self._stream.write(f"\r{self._bar(width - len(words) - 1)} {words}"[: width + 1])
            self._stream.write("\x1b[K")
        self._stream.flush()

    def _bar(self, width: int) -> str:
        width = min(width - 2, 40)
        if not self._total or width < 5:  # noqa: PLR2004  # too short to be a bar
            return ""
        full = width * min(self._done, self._total) // self._total
        return f"[{'#' * full}{' ' * (width - full)}]"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"

"""One line that says how far a job is, in terminals and notebooks; nothing elsewhere."""

from __future__ import annotations

import html
import importlib
import sys
from typing import Any

from .training_types import JobEvent, JobInfo

BAR_WIDTH = 20


def line(job: JobInfo) -> str:
    """How far a job is: a bar, the stage, the loss, the latest validation, the time left."""
    now = job.progress
    if job.state != "RUNNING" or not now.stage:
        return f"{job.name}  {job.state}"
    full = round(BAR_WIDTH * min(max(now.done, 0.0), 1.0))
    bar = "█" * full + "░" * (BAR_WIDTH - full)
    parts = [f"{bar} {now.done:4.0%}", f"{now.stage} {now.epoch}/{now.n_epochs}"]
    if now.loss > 0:
        parts.append(f"loss {now.loss:.3f}")
    measured = [one.valid_ndcg_100 for one in now.epochs if one.valid_ndcg_100 is not None]
    if measured:
        parts.append(f"validation NDCG@100 {measured[-1]:.4f}")
    if now.eta_seconds >= 1:
        parts.append(f"{while_(now.eta_seconds)} left")
    return "  ".join(parts)


def while_(seconds: float) -> str:
    """A while in words: `45 s`, `12 min 5 s`, `3 h 20 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole // 60 % 60} min"


class ProgressLine:
    """A line that is written over itself; with `is_wanted` False it is never written."""

    def __init__(self, is_wanted: bool) -> None:
        self._is_in_notebook = is_wanted and _is_notebook()
        self._is_in_terminal = is_wanted and not self._is_in_notebook and sys.stderr.isatty()
        self._display: Any = None
        self._width = 0

    def show(self, event: JobEvent) -> None:
        """Writes how far the job is after an event."""
        text = line(event.job)
        if self._is_in_notebook:
            self._show_in_notebook(text)
        elif self._is_in_terminal:
            sys.stderr.write("\r" + text.ljust(self._width))
            sys.stderr.flush()
            self._width = len(text)

    def end(self) -> None:
        """Leaves the line as it is and goes to the next one."""
        if self._width > 0:
            sys.stderr.write("\n")
            self._width = 0

    def _show_in_notebook(self, text: str) -> None:
        # There already, where this runs: `_is_notebook`.
        ipython: Any = importlib.import_module("IPython.display")
        shown = ipython.HTML(f"<pre>{html.escape(text)}</pre>")
        if self._display is None:
            self._display = ipython.display(shown, display_id=True)
        else:
            self._display.update(shown)


def _is_notebook() -> bool:
    """Whether IPython runs here with a kernel; it is not imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None

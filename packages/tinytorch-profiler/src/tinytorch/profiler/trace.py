"""The trace of a recording, for Perfetto and chrome://tracing.

Source: Trace Event Format, https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
"""

from __future__ import annotations

import json
import os
from typing import Any

from .events import Event, Recording, Span
from .watch import BLOCK


def chrome_trace(recording: Recording) -> str:
    """Complete events ("X") for operations, modules and regions, a counter ("C") for memory; times in microseconds."""
    pid = os.getpid()
    everything: list[Span] = sorted([*recording.spans, *recording.events], key=lambda span: (span.start, -span.stop))
    origin = everything[0].start if everything else 0
    threads = {thread: place for place, thread in enumerate(dict.fromkeys(span.thread for span in everything), 1)}
    entries: list[dict[str, Any]] = [
        {"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": f"thread {tid}"}}
        for tid in threads.values()
    ]
    entries += [
        {
            "ph": "X",
            "name": _name(span),
            "cat": span.kind,
            "ts": (span.start - origin) / 1e3,
            "dur": span.duration / 1e3,
            "pid": pid,
            "tid": threads[span.thread],
            "args": _details(span),
        }
        for span in everything
    ]
    entries += [
        {"ph": "C", "name": "memory", "ts": (time - origin) / 1e3, "pid": pid, "args": {"bytes": live}}
        for time, live in recording.memory
    ]
    return json.dumps({"traceEvents": entries, "displayTimeUnit": "ms"}, separators=(",", ":"))


def _name(span: Span) -> str:
    return span.label if isinstance(span, Event) else span.name or ("profile" if span.kind == BLOCK else "model")


def _details(span: Span) -> dict[str, Any]:
    if not isinstance(span, Event):
        return {}
    read, written = span.traffic
    return {
        "inputs": span.shapes,
        "output": str(span.output),
        "module": span.module,
        "flops": span.work.products,
        "elementwise": span.work.elementwise,
        "bytes read": read,
        "bytes written": written,
        "allocated": span.allocated,
    }

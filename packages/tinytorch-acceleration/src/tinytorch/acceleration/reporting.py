"""How often kernels computed, and how often NumPy did and why."""

from __future__ import annotations

from typing import NamedTuple

from .serving import table


class Count(NamedTuple):
    """How often a kernel computed, and how often NumPy did, by reason."""

    served: int
    unserved: dict[str, int]


class Report(dict[str, Count]):
    """A `Count` for each kernel that was asked, by the name of what it computes; as text a table."""

    def since(self, start: Report) -> Report:
        """What has been counted after `start`."""
        later = Report()
        for name, (served, unserved) in self.items():
            before = start.get(name, Count(0, {}))
            reasons = {reason: count - before.unserved.get(reason, 0) for reason, count in unserved.items()}
            later[name] = Count(served - before.served, {reason: count for reason, count in reasons.items() if count})
        return Report({name: count for name, count in later.items() if count != (0, {})})

    def __str__(self) -> str:
        lines = [f"{'':28}{'kernel':>10}{'NumPy':>10}"]
        for name, (served, unserved) in self.items():
            lines.append(f"{name:28}{served:10,}{sum(unserved.values()):10,}")
            lines += [f"    {count:,} x {reason}" for reason, count in unserved.items()]
        return "\n".join(lines)


def report() -> Report:
    """What the kernels did since the process started or `reset_report()`: a dict that prints as a table.

    >>> from tinytorch.acceleration import accelerating, report
    >>> from tinytorch.layers import functional as F
    >>> from tinytorch.tensor import ones
    >>> with accelerating() as during:
    ...     y = F.gelu(ones(2, 3))
    >>> during["gelu"].served
    1
    """
    found = Report()
    for entry in table.values():
        if entry.served or entry.unserved:
            found[entry.name] = Count(entry.served, dict(entry.unserved))
    return found


def reset_report() -> None:
    """Count from zero again."""
    for entry in table.values():
        entry.served, entry.unserved = 0, {}

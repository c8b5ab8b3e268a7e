"""A module as a tree of its parts, with the number of parameters of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .parameter import Parameter

if TYPE_CHECKING:
    from .module import Module


def draw(module: Module) -> str:
    """The text of `repr(module)`: neighbors that look the same are drawn once."""
    lines = [(_title(module), _count(module)), *_branches(module, "", (module,))]
    width = max(len(text) for text, _ in lines)
    drawn = [f"{text:<{width}}  {count}".rstrip() for text, count in lines]
    if lines[0][1]:
        drawn[0] += " parameters" if lines[0][1] != "1" else " parameter"
    return "\n".join(drawn)


def _title(module: Module) -> str:
    extra = module.extra_repr()
    leaf = not module.children()
    return type(module).__name__ + (f"({extra})" if extra or leaf else "")


def _count(module: Module) -> str:
    found = {id(value): value for part in module.modules() for value in vars(part).values()}
    count = sum(value.size for value in found.values() if isinstance(value, Parameter))
    return f"{count:,}" if count else ""


def _branches(module: Module, indent: str, above: tuple[Module, ...]) -> list[tuple[str, str]]:
    groups: list[tuple[list[str], Module, list[tuple[str, str]]]] = []
    for name, child in module.named_children():
        below = [] if child in above else _branches(child, "", (*above, child))  # a part may know its whole
        if groups and (_title(child), below) == (_title(groups[-1][1]), groups[-1][2]):
            groups[-1][0].append(name)
        else:
            groups.append(([name], child, below))
    lines = []
    for place, (names, child, below) in enumerate(groups):
        last = place == len(groups) - 1
        label = names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}: {len(names)} x"
        separator = ":" if len(names) == 1 else ""
        lines.append((f"{indent}{'└─' if last else '├─'} {label}{separator} {_title(child)}", _count(child)))
        lines += [(indent + ("   " if last else "│  ") + text, count) for text, count in below]
    return lines

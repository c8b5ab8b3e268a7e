"""How a layer describes itself."""

from __future__ import annotations

from typing import Any


def describe(*sizes: Any, **options: tuple[Any, Any]) -> str:
    """Sizes, and those options (value, default) that are not at their default; a pair of equals as one number.

    >>> describe(3, 16, (5, 5), stride=((2, 1), (1, 1)), groups=(1, 1))
    '3, 16, 5, stride=(2, 1)'
    """
    named = (f"{name}={_short(value)}" for name, (value, default) in options.items() if value != default)
    return ", ".join((*(str(_short(size)) for size in sizes), *named))


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return repr(value)
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value

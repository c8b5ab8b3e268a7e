"""The mistakes: what can be changed in a module, one place at a time."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "/", ast.Mod: "*", ast.Pow: "*",
}  # fmt: skip


EQUIVALENT = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Mutation:
    """One mistake: the bytes of `path` from `start` to `end` become `after`."""

    path: Path
    line: int
    start: int
    end: int
    before: str
    after: str

    @property
    def lines(self) -> range:
        return range(self.line, self.line + 1 + self.before.count("\n"))

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.after.encode() + source[self.end :]

    def __str__(self) -> str:
        return f"{self.path.name}:{self.line}  {self.before}  ->  {self.after}"


def mutations(path: Path) -> list[Mutation]:
    """Every mistake that can be made in a module, outside annotations, docstrings and what errors say.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "module.py")
    ...     _ = path.write_text("def f(x: int | None) -> bool:\\n    return x < 2\\n")
    ...     for each in mutations(path):
    ...         print(each)
    module.py:2  x < 2  ->  x <= 2
    module.py:2  2  ->  3
    """
    source = path.read_bytes()
    begins = [0]
    for line in source.splitlines(keepends=True):
        begins.append(begins[-1] + len(line))
    found = []
    for node, text in _changes(ast.parse(source)):
        start = begins[node.lineno - 1] + node.col_offset
        end = begins[node.end_lineno - 1] + node.end_col_offset
        before = source[start:end].decode()
        found.append(Mutation(path, node.lineno, start, end, before, text))
    return found


def _changes(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Places below `node`, each with the code to put there."""
    for child in _children(node):
        yield from _of(child)
        if not (isinstance(child, ast.UnaryOp) and isinstance(child.operand, ast.Constant)):
            yield from _changes(child)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Parts that run and whose effect a test can see."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
                continue
            if isinstance(child, ast.Call) and ast.unparse(child.func) == "TypeVar":
                continue
            if isinstance(child, ast.keyword) and child.arg == "strict":  # an assertion
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Assign) and ast.unparse(child.targets[0]) in ("__all__", "__slots__"):
                continue
            if isinstance(child, ast.AST):
                yield child


def _of(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARISONS:
            yield node, f"{_part(left)} {COMPARISONS[type(op)]} {_part(right)}"
        case ast.BoolOp(op=op, values=values):
            yield node, f" {'or' if isinstance(op, ast.And) else 'and'} ".join(f"({_part(each)})" for each in values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield node, f"bool({ast.unparse(operand)})"
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(value))):
            yield node, str(1 - value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=float(value))):
            yield node, repr(-2 * value)
        case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            yield node, _part(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC and not _is_text(left, right):
            yield node, f"({_part(left)} {ARITHMETIC[type(op)]} {_part(right)})"
        case ast.AugAssign(target=target, op=op, value=value) if type(op) in ARITHMETIC:
            yield node, f"{ast.unparse(target)} {ARITHMETIC[type(op)]}= {ast.unparse(value)}"
        case ast.Constant(value=bool(value)):
            yield node, str(not value)
        case ast.Constant(value=int(value)):
            yield node, str(value + 1 if value < 1000 else 2 * value)  # a large one more is hard to see
        case ast.Constant(value=float(value)):
            yield node, repr(value * 2 or 1.0)
        case ast.Break():
            yield node, "continue"
        case ast.Continue():
            yield node, "break"
        case ast.Expr(value=ast.Call()):
            yield node, "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield node, "pass"
        case ast.If(test=test) | ast.IfExp(test=test) if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp):
            yield test, f"(not {_part(test)})"


def _part(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if isinstance(node, ast.Name | ast.Constant | ast.Attribute | ast.Call) else f"({text})"


def _is_text(*parts: ast.expr) -> bool:
    return any(isinstance(part, ast.JoinedStr) or isinstance(getattr(part, "value", 0), str) for part in parts)


def reason(stage: str, mutation: Mutation) -> str | None:
    """Why nothing can notice a mistake, if `equivalent.toml` says so of its line, or of what it makes of the line."""
    source = mutation.path.read_bytes()
    for part, why in EQUIVALENT.get(stage, {}).get(mutation.path.name, {}).items():
        if any(part.encode() in each.splitlines()[mutation.line - 1] for each in (source, mutation.apply(source))):
            return str(why)
    return None

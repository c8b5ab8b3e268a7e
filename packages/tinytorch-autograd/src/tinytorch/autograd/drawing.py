"""Drawing what was recorded: a tree of text in a terminal, a picture in a notebook."""

from __future__ import annotations

from tinytorch.tensor import Tensor

from .picture import draw
from .recording import Node, Origin, origin


class Graph:
    """The operations that a tensor was computed by; `print` it, save `.svg()`, or let a notebook show it."""

    def __init__(self, tensor: Tensor, names: dict[str, Tensor] | None = None) -> None:
        self.root = origin(tensor)
        self.names = {id(origin(named)): name for name, named in (names or {}).items()}
        self.vertices, self.inputs = _explore(self.root)

    def label(self, vertex: Origin) -> str:
        """The name of a vertex or its operation, and the shape of its result."""
        if isinstance(vertex, Node):
            name = f" = {self.names[id(vertex)]}" if id(vertex) in self.names else ""
            return f"{vertex.primitive.name}{name} {vertex.shape}{' freed' if vertex.args is None else ''}"
        name = self.names.get(id(vertex), "leaf" if vertex.requires_grad else "constant")
        return f"{name} {vertex.shape}"

    def __repr__(self) -> str:
        """The result first, and under each operation its inputs; what was shown before is not expanded again."""
        lines: list[str] = []
        shown: dict[int, int] = {}
        waiting: list[tuple[Origin, str, str]] = [(self.root, "", "")]
        while waiting:
            vertex, lead, under = waiting.pop()
            number = shown.get(id(vertex))
            if number is not None:
                lines.append(f"{lead}{self.label(vertex)} (see line {number})")
                continue
            lines.append(lead + self.label(vertex))
            inputs = self.inputs[id(vertex)]
            if inputs:
                shown[id(vertex)] = len(lines)
            for place in reversed(range(len(inputs))):
                last = place == len(inputs) - 1
                waiting.append((inputs[place], under + ("└─ " if last else "├─ "), under + ("   " if last else "│  ")))
        return "\n".join(lines)

    def svg(self) -> str:
        """The graph as SVG: inputs above, the result below, the shape of every tensor in its box."""
        sources = {vertex: self.inputs[id(vertex)] for vertex in self.vertices}
        return draw(self.vertices, sources, self.label, _kind)

    _repr_svg_ = svg  # what a notebook asks for


def draw_graph(tensor: Tensor, names: dict[str, Tensor] | None = None) -> Graph:
    """The operations that `tensor` was computed by; `names` says what to call tensors, such as `{"w": w}`.

    >>> from tinytorch.autograd import enable_autograd; enable_autograd()
    >>> w = Tensor([1.0, 2.0], requires_grad=True)
    >>> draw_graph((w * w).sum(), {"w": w})
    sum ()
    └─ multiply (2,)
       ├─ w (2,)
       └─ w (2,)
    """
    for given in (tensor, *(names or {}).values()):
        if not isinstance(given, Tensor):
            raise TypeError(f"draw_graph: a {type(given).__name__} was given; it draws how tensors were made")
    return Graph(tensor, names)


def _explore(root: Origin) -> tuple[list[Origin], dict[int, list[Origin]]]:
    """Every vertex, users before what they use, and the inputs of each."""
    inputs: dict[int, list[Origin]] = {}
    found: list[Origin] = []
    waiting = [root]
    while waiting:
        vertex = waiting.pop()
        if id(vertex) in inputs:
            continue
        args = vertex.args or () if isinstance(vertex, Node) else ()
        inputs[id(vertex)] = [origin(arg) for arg in args if isinstance(arg, Node | Tensor)]
        found.append(vertex)
        waiting.extend(inputs[id(vertex)])
    found.sort(key=lambda vertex: vertex.birth if isinstance(vertex, Node) else -1, reverse=True)
    return found, inputs


def _kind(vertex: Origin) -> str:
    return "op" if isinstance(vertex, Node) else "leaf" if vertex.requires_grad else "constant"

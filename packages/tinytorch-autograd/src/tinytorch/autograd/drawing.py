"""Drawing what was recorded: a tree of text in a terminal, a picture in a notebook."""

from __future__ import annotations

from html import escape

from tinytorch.tensor import Tensor

from .recording import Node, Origin, origin


class Graph:
    """The operations that a tensor was made through; `print` it, save `.svg()`, or let a notebook show it."""

    def __init__(self, tensor: Tensor, names: dict[str, Tensor] | None = None) -> None:
        self.root = origin(tensor)
        self.names = {id(origin(named)): name for name, named in (names or {}).items()}
        self.vertices, self.inputs = _explore(self.root)

    def label(self, vertex: Origin) -> str:
        """What a vertex is called: its operation or its name, and the shape of its result."""
        if isinstance(vertex, Node):
            name = f" = {self.names[id(vertex)]}" if id(vertex) in self.names else ""
            return f"{vertex.primitive.name}{name} {vertex.shape}{' freed' if vertex.args is None else ''}"
        name = self.names.get(id(vertex), "leaf" if vertex.requires_grad else "constant")
        return f"{name} {vertex.shape}"

    def __repr__(self) -> str:
        """The result first, under each operation its inputs; what was shown before is only named again."""
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
        rows = self._rows()
        width, height, gap_x, gap_y = 150, 34, 18, 40
        columns = max(map(len, rows))
        total_x, total_y = columns * (width + gap_x) + gap_x, len(rows) * (height + gap_y) + gap_y
        centre: dict[int, tuple[float, float]] = {}
        for depth, row in enumerate(rows):
            left = (total_x - len(row) * (width + gap_x) + gap_x) / 2
            for column, vertex in enumerate(row):
                middle = left + column * (width + gap_x) + width / 2
                centre[id(vertex)] = (middle, gap_y + depth * (height + gap_y) + height / 2)
        edges, boxes = [], []
        for vertex in self.vertices:
            x, y = centre[id(vertex)]
            for source in self.inputs[id(vertex)]:
                from_x, from_y = centre[id(source)]
                top, bottom = from_y + height / 2, y - height / 2 - 5
                bend = (bottom - top) / 2
                edges.append(
                    f'<path d="M{from_x:.0f} {top:.0f} C{from_x:.0f} {top + bend:.0f} {x:.0f} {bottom - bend:.0f} '
                    f'{x:.0f} {bottom:.0f}"/>'
                )
            kind = "op" if isinstance(vertex, Node) else "leaf" if vertex.requires_grad else "constant"
            boxes.append(
                f'<rect class="{kind}" x="{x - width / 2:.0f}" y="{y - height / 2:.0f}" '
                f'width="{width}" height="{height}" rx="{6 if kind == "op" else 17}"/>'
                f'<text x="{x:.0f}" y="{y + 4:.0f}">{escape(self.label(vertex))}</text>'
            )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total_x} {total_y}" '
            f'width="{total_x}" height="{total_y}"><style>'
            "rect{stroke-width:1.2}.op{fill:#eef2f7;stroke:#5b6b7f}.leaf{fill:#e2f3e5;stroke:#3c8a50}"
            ".constant{fill:#f6f6f6;stroke:#aaa}path{fill:none;stroke:#8592a3;stroke-width:1.2;marker-end:url(#tip)}"
            "text{font:12px sans-serif;text-anchor:middle;fill:#1f2933}</style>"
            '<defs><marker id="tip" viewBox="0 0 6 6" refX="1" refY="3" markerWidth="6" markerHeight="6" orient="auto">'
            '<path d="M0 0L6 3L0 6z" style="fill:#8592a3;stroke:none;marker-end:none"/></marker></defs>'
            f"{''.join(edges)}{''.join(boxes)}</svg>"
        )

    def _repr_svg_(self) -> str:
        return self.svg()

    def _rows(self) -> list[list[Origin]]:
        """Each vertex one row above the first that uses it, and in its row above the middle of those that do."""
        depth: dict[int, int] = {}
        users: dict[int, list[Origin]] = {id(self.root): []}
        for vertex in self.vertices:  # users come before what they use
            depth[id(vertex)] = max((depth[id(user)] + 1 for user in users[id(vertex)]), default=0)
            for source in self.inputs[id(vertex)]:
                users.setdefault(id(source), []).append(vertex)
        rows: list[list[Origin]] = [[] for _ in range(max(depth.values()) + 1)]
        for vertex in self.vertices:
            rows[depth[id(vertex)]].append(vertex)
        place = {id(self.root): 0.0}
        for row in rows[1:]:
            row.sort(key=lambda vertex: sum(place[id(u)] for u in users[id(vertex)]) / len(users[id(vertex)]))
            place |= {id(vertex): (i + 0.5) / len(row) for i, vertex in enumerate(row)}
        return rows[::-1]


def draw_graph(tensor: Tensor, names: dict[str, Tensor] | None = None) -> Graph:
    """The operations that `tensor` was made through; `names` says what to call tensors, such as `{"w": w}`.

    >>> from tinytorch.autograd import enable_autograd
    >>> enable_autograd()
    >>> w = Tensor([1.0, 2.0], requires_grad=True)
    >>> draw_graph((w * w).sum(), {"w": w})
    sum ()
    └─ multiply (2,)
       ├─ w (2,)
       └─ w (2,)
    """
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

"""The picture of a graph: every box apart, every edge visible, inputs in their order."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from tinytorch.autograd import draw_graph
from tinytorch.tensor import Tensor, concat

SVG = "{http://www.w3.org/2000/svg}"


def residual(blocks: int) -> Tensor:
    h = Tensor([1.0, 2.0], requires_grad=True)
    for _ in range(blocks):
        h = h + (h.tanh() * 2).exp()
    return h.sum()


def boxes(svg: str) -> list[tuple[float, float, float, float]]:
    """Left, top, right, bottom of every rectangle."""
    found = []
    for rect in ElementTree.fromstring(svg).iter(f"{SVG}rect"):
        x, y, width, height = (float(rect.get(name, "")) for name in ("x", "y", "width", "height"))
        found.append((x, y, x + width, y + height))
    return found


def test_a_skip_connection_passes_beside_what_it_skips() -> None:
    svg = draw_graph(residual(3)).svg()
    lanes = re.findall(r" (\d+) (\d+)V(\d+)", svg)
    assert len(lanes) == 9  # three blocks, each past three operations
    for x, top, bottom in lanes:
        inside = [b for b in boxes(svg) if b[1] < float(bottom) and b[3] > float(top) and b[0] <= float(x) <= b[2]]
        assert inside == []


def test_boxes_are_apart_and_inside_the_picture() -> None:
    svg = draw_graph(residual(2)).svg()
    found = boxes(svg)
    root = ElementTree.fromstring(svg)
    for place, (left, top, right, bottom) in enumerate(found):
        assert left >= 0
        assert right <= float(root.get("width", ""))
        assert bottom <= float(root.get("height", ""))
        for other in found[:place]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


def test_inputs_stand_in_the_order_of_the_arguments() -> None:
    a, b, c = (Tensor([1.0], requires_grad=True) for _ in range(3))
    svg = draw_graph(a.exp() * b + c, {"a": a, "b": b, "c": c}).svg()
    texts = [(float(text.get("x", "")), text.text) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    by_name = {text: x for x, text in texts if text}
    assert by_name["exp (1,)"] < by_name["b (1,)"]
    assert by_name["multiply (1,)"] < by_name["c (1,)"]


def test_arrows_of_operations_side_by_side_do_not_cross() -> None:
    x, y = (Tensor([1.0], requires_grad=True) for _ in range(2))
    svg = draw_graph(x.exp() / y.tanh(), {"x": x, "y": y}).svg()
    by_name = {text.text: float(text.get("x", "")) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")}
    assert by_name["x (1,)"] == by_name["exp (1,)"] < by_name["tanh (1,)"] == by_name["y (1,)"]


def test_operations_leaves_and_constants_are_told_apart() -> None:
    x, c = Tensor([1.0], requires_grad=True), Tensor([2.0])
    root = ElementTree.fromstring(draw_graph(x * c).svg())
    kinds = [rect.get("class") for rect in root.iter(f"{SVG}rect")]
    names = [text.text for text in root.iter(f"{SVG}text")]
    assert dict(zip(names, kinds, strict=True)) == {
        "multiply (1,)": "op",
        "leaf (1,)": "leaf",
        "constant (1,)": "constant",
    }


@pytest.mark.parametrize("times", [1, 2, 3, 40])
def test_a_value_used_several_times_has_as_many_arrows_apart_on_one_box(times: int) -> None:
    svg = draw_graph(concat([Tensor([1.0, 2.0], requires_grad=True)] * times)).svg()
    arrows = re.findall(r" ([\d.]+) \d+\" marker-end", svg)
    assert len(set(arrows)) == times
    left, _, right, _ = boxes(svg)[0]
    assert all(left < float(x) < right for x in arrows)


def test_long_names_fit_their_boxes_and_are_escaped() -> None:
    x = Tensor([1.0], requires_grad=True)
    svg = draw_graph(x * 2, {"<the weights & biases of the attention>": x}).svg()
    assert "&lt;the weights &amp; biases" in svg
    assert all(right - left >= 300 for left, _, right, _ in boxes(svg))


def test_the_style_of_a_picture_is_its_own() -> None:
    """Several may be in one page, next to others."""
    svg = draw_graph(residual(1)).svg()
    style = svg.partition("<style>")[2].partition("</style>")[0]
    assert all(rule.startswith(".tinytorch-graph ") for rule in style.split("}") if rule)


def test_a_long_chain_and_a_single_leaf_are_drawn() -> None:
    x = Tensor([1.0], requires_grad=True)
    assert repr(draw_graph(x)) == "leaf (1,)"
    assert draw_graph(x).svg().count("<rect") == 1
    assert draw_graph(residual(300)).svg().count("<rect") == 1 + 300 * 4 + 1


def test_only_tensors_are_drawn() -> None:
    with pytest.raises(TypeError, match="draw_graph: a float was given"):
        draw_graph(1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="draw_graph: a list was given"):
        draw_graph(residual(1), {"x": [1.0]})  # type: ignore[dict-item]


def test_every_input_has_one_arrow_and_every_row_passed_one_line() -> None:
    svg = draw_graph(residual(1)).svg()
    assert svg.count("marker-end") == 6  # the inputs of tanh, multiply, exp, add (two) and sum
    assert svg.count('class="edge"') == 6 + 3  # and the leaf passes three rows on its way to add


def test_what_follows_a_vertex_that_was_shown_before_is_shown() -> None:
    x = Tensor([1.0], requires_grad=True)
    h = x.exp()
    lines = repr(draw_graph(h * h + x, {"x": x})).splitlines()
    assert [line.strip("│├└─ ") for line in lines] == [
        "add (1,)", "multiply (1,)", "exp (1,)", "x (1,)", "exp (1,) (see line 3)", "x (1,)",
    ]  # fmt: skip

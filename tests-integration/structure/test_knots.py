"""Modules of a stage do not import in circles, neither when they run nor, with exceptions that are named, for types."""

import graphlib

import grimp
import pytest
import stages

FOR_TYPES = {
    "tensor": {("tensor", "methods"), ("printing", "tensor"), ("running", "dispatch")},  # methods come at run time
    "layers": {("tree", "module"), ("hooks", "module"), ("hidden", "module")},  # what a module asks about itself
}
"""Imports, per stage, that only type checkers follow: (importing, imported)."""


@pytest.fixture(autouse=True)
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages need not be installed: their source is read."""
    for stage in stages.order():
        monkeypatch.syspath_prepend(stages.source(stage).parents[1])


def circle(stage: str, for_types: bool) -> list[str]:
    """The modules of one circle of imports, the first one again at the end; empty when there is none."""
    graph = grimp.build_graph(f"tinytorch.{stage}", exclude_type_checking_imports=not for_types, cache_dir=None)
    imports = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    if for_types:
        for importing, other in FOR_TYPES.get(stage, ()):
            imports[f"tinytorch.{stage}.{importing}"].remove(f"tinytorch.{stage}.{other}")
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("stage", stages.order())
@pytest.mark.parametrize("for_types", [False, True], ids=["running", "types"])
def test_modules_do_not_import_in_circles(stage: str, for_types: bool) -> None:
    assert circle(stage, for_types) == []

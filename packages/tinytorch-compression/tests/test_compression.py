from importlib.metadata import version

import tinytorch.compression


def test_version_is_that_of_the_distribution() -> None:
    assert tinytorch.compression.__version__ == version("tinytorch-compression")

from importlib.metadata import version

import tinytorch.quantization


def test_version_is_that_of_the_distribution() -> None:
    assert tinytorch.quantization.__version__ == version("tinytorch-quantization")

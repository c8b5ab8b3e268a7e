from importlib.metadata import version

import tinytorch.STAGE


def test_version_is_that_of_the_distribution() -> None:
    assert tinytorch.STAGE.__version__ == version("tinytorch-STAGE")

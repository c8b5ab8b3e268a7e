"""What the tests of every stage share."""

import pytest
from hypothesis import settings
from sybil import Sybil
from sybil.integration.pytest import SybilItem
from sybil.parsers.markdown import PythonCodeBlockParser

settings.register_profile("tinytorch", deadline=None, print_blob=True)  # a busy machine is slow, not wrong
settings.register_profile("lean", settings.get_profile("tinytorch"), max_examples=20)
settings.register_profile("glance", settings.get_profile("tinytorch"), max_examples=3)
settings.load_profile("tinytorch")

pytest_collect_file = Sybil(parsers=[PythonCodeBlockParser()], patterns=["README.md"]).pytest()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests come in random order, the examples of a README as they are read: one uses what others made."""
    items.sort(
        key=lambda item: (1, str(item.path), item.location[1] or 0) if isinstance(item, SybilItem) else (0, "", 0)
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A run in which every test was skipped has shown nothing, so it fails like one that found no test."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == pytest.ExitCode.OK and not reporter.stats.get("passed") and not session.config.option.collectonly:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED

"""The order of all tests."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that processes which share them end at about the same time."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/tuning/"))

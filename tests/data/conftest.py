"""Fixtures of the data tests."""

from __future__ import annotations

import pytest

from chainrule.data import ArrayDataset, mnist


@pytest.fixture
def digits() -> ArrayDataset:
    """The 10,000 test digits."""
    return mnist("test")

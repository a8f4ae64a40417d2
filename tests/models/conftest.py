"""Networks of a hundred million parameters without drawing their initial values."""

from __future__ import annotations

import pytest

from chainrule.models import _parts
from chainrule.nn import init


@pytest.fixture
def undrawn(monkeypatch):
    """Leave the weights as they come from the system: no memory is touched, so construction takes no time."""
    for name in ("uniform_", "normal_", "kaiming_uniform_"):
        monkeypatch.setattr(init, name, lambda tensor, *_args, **_settings: tensor)
    monkeypatch.setattr(_parts, "_fill", lambda tensor, *_args: tensor)

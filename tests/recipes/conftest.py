"""The small data set that stands in for MNIST."""

from tests.recipes.tiny import tiny  # noqa: F401 - a fixture

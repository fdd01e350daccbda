"""A fleet as the end-to-end tests have it."""

from tests.e2e.conftest import fleet, new_fleet

__all__ = ["fleet", "new_fleet"]

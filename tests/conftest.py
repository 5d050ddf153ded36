"""What every test shares."""

from __future__ import annotations

from hypothesis import settings

# The same examples every time, and no clock: a test that fails fails for everybody.
settings.register_profile("handwave", derandomize=True, deadline=None)
settings.load_profile("handwave")

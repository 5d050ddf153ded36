"""What every test shares."""

from __future__ import annotations

import signal

from hypothesis import settings

# A shell's background jobs start with Ctrl-C ignored, and hand that on to every child: tests of
# a real Ctrl-C would wait for ever there.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time, and no clock: a test that fails fails for everybody.
settings.register_profile("handwave", derandomize=True, deadline=None)
settings.load_profile("handwave")

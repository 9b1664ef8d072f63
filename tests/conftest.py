"""What all tests share: the hypothesis profiles.

``ci`` (the default) tries the same examples every time, so that a red test means a changed program; ``hunt`` looks for
new ones and takes its time: ``HYPOTHESIS_PROFILE=hunt pytest tests/protocol``.
"""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci", derandomize=True, database=None, deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("hunt", deadline=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow])
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Run in the background of a shell script; what is started here would ignore Ctrl-C as well, which is tested.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

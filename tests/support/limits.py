"""How late a call may end: what the library promises, and what a busy machine adds."""

from __future__ import annotations

#: After a deadline or a cancel, says the library.
PROMISED_SECONDS = 0.25
#: What the tests allow on top, for a machine on which other things run. The sum is still less than
#: any timeout that it could be taken for.
NOISE_SECONDS = 0.25
LIMIT_SECONDS = PROMISED_SECONDS + NOISE_SECONDS
#: A deadline that no test reaches.
FAR_SECONDS = 30.0

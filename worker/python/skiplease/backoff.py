"""How long to wait before connecting again."""

import random

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 2.0
"""Well below any sensible lease time to live, in which the new stream must stand if the leases are to live on."""


def delay_seconds(failures: int) -> float:
    """Exponential with full jitter, so that a fleet does not come back all at once."""
    return random.uniform(0, min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(failures, 16)))

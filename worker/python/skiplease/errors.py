"""What a handler raises to say more than "this attempt failed". Any other exception fails the attempt, and the job is
tried again by its queue's retry policy."""


class PermanentError(Exception):
    """Trying again is of no use: the job is FAILED now."""

    def __init__(self, code: str, message: str = ''):
        """`code` is a short class to count and filter by, such as CARD_DECLINED; `message` is for people."""
        super().__init__(message or code)
        self.code = code


class RetryAfter(Exception):
    """This attempt failed; the next one comes after this delay instead of the queue's backoff."""

    def __init__(self, delay_seconds: float, code: str = 'RETRY_AFTER', message: str = ''):
        super().__init__(message or code)
        self.delay_seconds = delay_seconds
        self.code = code


class Snooze(Exception):
    """Not yet: the job comes back after this delay, and no attempt is spent."""

    def __init__(self, delay_seconds: float):
        super().__init__(f'not before {delay_seconds} s')
        self.delay_seconds = delay_seconds


class JobStopped(Exception):
    """Raised by Job.raise_if_stopped(). `reason` is CANCELLED, LEASE_LOST, TIMEOUT or STOPPING."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class HelloRefused(Exception):
    """The coordinator will never take this worker as it is set up, so connecting again is of no use."""

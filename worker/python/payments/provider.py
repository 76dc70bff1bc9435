"""The payment provider, simulated: it answers by the intent's token, as the test cards of a real one do, and by the
attempt. Asked again under the same reference it gives the same answer and charges nobody twice."""

from skiplease import PermanentError, RetryAfter

RETRY_SECONDS = 0.25
"""How long after an attempt without an answer it is asked again."""
TIMEOUTS = {'tok_timeout_once': 1, 'tok_timeout_twice': 2}
"""How many attempts go without an answer before one gets it."""
DECLINE_PREFIX = 'tok_decline_'


def charge(token: str, attempt: int) -> None:
    """Returns when the payment is approved; raises what the job is to fail with when it is not."""
    if token.startswith(DECLINE_PREFIX):
        raise PermanentError('CARD_DECLINED', token.removeprefix(DECLINE_PREFIX).replace('_', ' '))
    if token == 'tok_provider_down':
        raise RetryAfter(RETRY_SECONDS, 'PROVIDER_UNAVAILABLE', 'the provider cannot be reached')
    if attempt <= TIMEOUTS.get(token, 0):
        raise RetryAfter(RETRY_SECONDS, 'PROVIDER_TIMEOUT', 'the provider did not answer in time')

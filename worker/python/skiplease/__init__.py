"""Work on Skiplease jobs from Python: write a handler, give it to a Worker, call run()."""

from .errors import HelloRefused, JobStopped, PermanentError, RetryAfter, Snooze
from .job import Job
from .security import Security
from .worker import Worker

__all__ = ['HelloRefused', 'Job', 'JobStopped', 'PermanentError', 'RetryAfter', 'Security', 'Snooze', 'Worker']

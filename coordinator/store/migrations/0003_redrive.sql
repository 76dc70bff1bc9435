-- Dead letters by their error class. Written by failed attempts only.
create index attempt_error on skiplease.attempt (error_code, job_id);

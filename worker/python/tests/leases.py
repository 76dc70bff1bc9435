"""Makes protocol messages for the unit tests."""

from skiplease.v1 import worker_service_pb2 as pb

FOR_EVER = float('inf')
LIMITS = pb.Limits(receive_bytes_max=4 * 1024 * 1024, report_outcomes_max=10_000)


def lease_of(token: str, *job_ids: str, job_type: str = 'send', number: int = 1) -> pb.Lease:
    jobs = [pb.LeasedJob(id=job_id, type=job_type, attempt=1, max_attempts=3) for job_id in job_ids]
    return pb.Lease(token=token, number=number, queue='mail', jobs=jobs)


def receipt_of(token: str, status: pb.ReceiptStatus, *job_ids: str, message: str = '') -> pb.Receipt:
    jobs = [pb.JobReceipt(job_id=job_id, status=status, message=message) for job_id in job_ids]
    return pb.Receipt(token=token, jobs=jobs)

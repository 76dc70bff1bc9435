import { WireType, type BinaryReader } from '@bufbuild/protobuf/wire';
import { BufferReader } from '../../proto/buffer_reader.ts';
import { JobOutcome, LeaseRequest } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { Report } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { REPORT_OUTCOMES_MAX } from '../limits.ts';

/** What most jobs come to; nobody may change it. */
const PLAIN_SUCCESS: JobOutcome['outcome'] = Object.freeze({ $case: 'succeeded' as const, value: Object.freeze({ result: undefined }) });
const NO_FOLLOW_UPS = Object.freeze([]) as unknown as JobOutcome['followUps'];
const REPORT_TAG = 26;
/** Outcomes beyond are not read: that they are too many is known. */
const OUTCOMES_READ_MAX = REPORT_OUTCOMES_MAX + 1;

/**
 * LeaseRequest.decode, made for reports of plain successes: they share all but their ids. All else is read by the
 * generated code. A test holds the two against each other.
 */
export function readLeaseRequest(bytes: Buffer): LeaseRequest {
  const report = readReport(new BufferReader(bytes));
  return report === undefined ? LeaseRequest.decode(new BufferReader(bytes)) : { message: { $case: 'report', value: report } };
}

/** undefined: it is something else, or more than a report. */
function readReport(reader: BinaryReader): Report | undefined {
  if (reader.len === 0 || reader.uint32() !== REPORT_TAG || reader.uint32() !== reader.len - reader.pos) {
    return undefined;
  }
  const report: Report = { token: '', outcomes: [] };
  while (reader.pos < reader.len) {
    switch (reader.uint32()) {
      case 10:
        report.token = reader.string();
        break;
      case 18:
        if (report.outcomes.length < OUTCOMES_READ_MAX) {
          report.outcomes.push(readOutcome(reader, reader.uint32()));
        } else {
          reader.skip(WireType.LengthDelimited);
        }
        break;
      default:
        return undefined;
    }
  }
  return report;
}

function readOutcome(reader: BinaryReader, length: number): JobOutcome {
  const start = reader.pos;
  const end = start + length;
  const outcome: JobOutcome = { jobId: '', outcome: undefined, followUps: NO_FOLLOW_UPS };
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 10) {
      outcome.jobId = reader.string();
    } else if (tag === 18 && reader.uint32() === 0) {
      outcome.outcome = PLAIN_SUCCESS;
    } else {
      reader.pos = start;
      return JobOutcome.decode(reader, length);
    }
  }
  return outcome;
}

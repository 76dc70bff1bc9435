import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { JobOutcome, Report } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { viewOf } from './view.ts';

/** Tags of `report` in LeaseRequest, and of `outcomes` in Report. */
const reportTag = 26;
const outcomesTag = 18;

/** Stands for every job id: all are UUIDs, of this length and ASCII. */
const someId = '00000000-0000-7000-8000-000000000000';

/** A success without a result, as the generated code writes it: what most jobs come to. Only the id is another. */
const succeeded: JobOutcome = { jobId: someId, outcome: { $case: 'succeeded', value: { result: undefined } }, followUps: [] };
const success = viewOf(Report.encode({ token: '', outcomes: [succeeded] }).finish());
const successIdAt = success.indexOf(someId);

/** A LeaseRequest with this report, the same as LeaseRequest.encode. */
export function writeReport({ token, outcomes }: Report): Buffer {
  const writer = new BinaryWriter();
  Report.encode({ token, outcomes: [] }, writer.uint32(reportTag).fork());
  for (const outcome of outcomes) {
    if (isPlainSuccess(outcome)) {
      success.write(outcome.jobId, successIdAt, 'latin1');
      writer.raw(success);
    } else {
      JobOutcome.encode(outcome, writer.uint32(outcomesTag).fork()).join();
    }
  }
  return viewOf(writer.join().finish());
}

function isPlainSuccess({ jobId, outcome, followUps }: JobOutcome): boolean {
  return (
    outcome?.$case === 'succeeded' &&
    outcome.value.result === undefined &&
    followUps.length === 0 &&
    jobId.length === someId.length
  );
}

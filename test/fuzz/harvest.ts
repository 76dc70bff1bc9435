import { fromBinary, toJson, type DescMessage } from '@bufbuild/protobuf';
import { REGISTRY } from './contract.ts';
import type { Known, KnownKind } from './known.ts';

/** Answers whose ids are the fuzzer's own. Those of lists are everybody's: of them only the page tokens are kept. */
const OWN = /(SubmitJob|SubmitJobs|StreamSubmitJobs|TriggerSchedule|CreateBatch|Lease)$/;
const KINDS = new Map<string, KnownKind>([['jobId', 'jobId'], ['jobIds', 'jobId'], ['token', 'token'], ['nextPageToken', 'pageToken']]);

/** Remembers the ids and tokens of an answer. */
export function harvest(path: string, output: DescMessage, message: Buffer, known: Known): void {
  const answer = toJson(output, fromBinary(output, message), { registry: REGISTRY });
  walk(answer, (name, text) => {
    const kind = name === 'id' ? (path.endsWith('CreateBatch') ? 'batchId' : 'jobId') : KINDS.get(name);
    if (kind !== undefined && (kind === 'pageToken' || OWN.test(path))) {
      known.add(kind, text);
    }
  });
}

function walk(value: unknown, each: (name: string, text: string) => void, name = ''): void {
  if (typeof value === 'string') {
    each(name, value);
  } else if (Array.isArray(value)) {
    value.forEach((item) => walk(item, each, name));
  } else if (typeof value === 'object' && value !== null) {
    Object.entries(value).forEach(([key, item]) => walk(item, each, key));
  }
}

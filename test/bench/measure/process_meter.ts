import type { Usage } from '../roles/methods.ts';
import { peakResidentBytes, processCpuMs, residentBytes, resetPeakResidentBytes } from './processes.ts';

/** A process that is looked at before and after a timed stretch. */
export interface MeasuredProcess {
  name: string;
  pid: number;
  /** What it says of itself; for a process that cannot be asked, its CPU time is read from /proc. */
  usage?(): Promise<Usage>;
}

/** What one process used in a timed stretch; a member is `undefined` where it cannot be read. */
export interface ProcessUse {
  cpuMs: number | undefined;
  bytesSent: number | undefined;
  bytesReceived: number | undefined;
  /** The memory that it had resident when the stretch began, and the most that it had at once. */
  residentBeforeBytes: number | undefined;
  peakResidentBytes: number | undefined;
}

/** Looks now; the function that it gives back looks again, and answers the difference by process. */
export async function startProcessMeter(
  processes: MeasuredProcess[],
): Promise<() => Promise<Record<string, ProcessUse>>> {
  for (const { pid } of processes) resetPeakResidentBytes(pid);
  const resident = processes.map(({ pid }) => residentBytes(pid));
  const before = await Promise.all(processes.map(look));
  return async () => {
    const after = await Promise.all(processes.map(look));
    const uses: Record<string, ProcessUse> = {};
    for (const [index, { name, pid }] of processes.entries()) {
      const use = {
        cpuMs: difference(before[index]!.cpuMs, after[index]!.cpuMs),
        bytesSent: difference(before[index]!.bytesSent, after[index]!.bytesSent),
        bytesReceived: difference(before[index]!.bytesReceived, after[index]!.bytesReceived),
        residentBeforeBytes: resident[index],
        peakResidentBytes: peakResidentBytes(pid),
      };
      uses[name] = uses[name] ? together(uses[name], use) : use;
    }
    return uses;
  };
}

async function look(process: MeasuredProcess): Promise<Partial<Usage>> {
  if (process.usage) return process.usage();
  const cpuMs = processCpuMs(process.pid);
  return cpuMs === undefined ? {} : { cpuMs };
}

/** Several processes of one name, ten coordinators for example: sums, and the largest one's memory. */
function together(left: ProcessUse, right: ProcessUse): ProcessUse {
  return {
    cpuMs: both(left.cpuMs, right.cpuMs, (a, b) => a + b),
    bytesSent: both(left.bytesSent, right.bytesSent, (a, b) => a + b),
    bytesReceived: both(left.bytesReceived, right.bytesReceived, (a, b) => a + b),
    residentBeforeBytes: both(left.residentBeforeBytes, right.residentBeforeBytes, Math.max),
    peakResidentBytes: both(left.peakResidentBytes, right.peakResidentBytes, Math.max),
  };
}

function difference(before: number | undefined, after: number | undefined): number | undefined {
  return both(before, after, (from, to) => to - from);
}

function both(
  left: number | undefined,
  right: number | undefined,
  of: (left: number, right: number) => number,
): number | undefined {
  return left === undefined || right === undefined ? undefined : of(left, right);
}

import { readFileSync, readdirSync, writeFileSync } from 'node:fs';

/** Kernel clock ticks a second in /proc; 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** CPU time of one process so far, in milliseconds (to 10 ms). `undefined` where there is no /proc. */
export function processCpuMs(pid: number): number | undefined {
  const fields = statFields(pid);
  return fields && ticksToMs(fields.user + fields.system);
}

/**
 * CPU time of a process and of all processes below it, those that have ended included, in milliseconds: a PostgreSQL
 * server is its postmaster and what that started. `undefined` where there is no /proc.
 */
export function processTreeCpuMs(pid: number): number | undefined {
  const root = statFields(pid);
  if (!root) return undefined;
  let ticks = root.user + root.system + root.childrenUser + root.childrenSystem;
  for (const entry of readdirSync('/proc')) {
    const fields = /^\d+$/.test(entry) ? statFields(Number(entry)) : undefined;
    if (fields?.parent === pid) ticks += fields.user + fields.system + fields.childrenUser + fields.childrenSystem;
  }
  return ticksToMs(ticks);
}

/** The process that started `pid`, or `undefined` where there is no /proc. */
export function parentOf(pid: number): number | undefined {
  return statFields(pid)?.parent;
}

/** Sets the high-water mark of a process's resident memory back to what it has now. Does nothing where there is no /proc. */
export function resetPeakResidentBytes(pid: number): void {
  try {
    // 5: "reset the peak resident set size", proc(5).
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
  } catch {
    // Then the peak is that of the process's whole life, or cannot be read at all.
  }
}

/** The most memory that a process has had resident at once. `undefined` where it cannot be read. */
export function peakResidentBytes(pid: number): number | undefined {
  return statusKiB(pid, 'VmHWM');
}

/** The memory that a process has resident now. `undefined` where it cannot be read. */
export function residentBytes(pid: number): number | undefined {
  return statusKiB(pid, 'VmRSS');
}

function statusKiB(pid: number, field: string): number | undefined {
  try {
    const line = readFileSync(`/proc/${pid}/status`, 'utf8').match(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm'));
    return line ? Number(line[1]) * 1024 : undefined;
  } catch {
    return undefined;
  }
}

function statFields(pid: number) {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The second field, the command in parentheses, may hold spaces: what follows it is counted from the state field.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ').map(Number);
  return {
    parent: fields[1]!,
    user: fields[11]!,
    system: fields[12]!,
    childrenUser: fields[13]!,
    childrenSystem: fields[14]!,
  };
}

function ticksToMs(ticks: number): number {
  return (ticks * 1000) / TICKS_PER_SECOND;
}

/** One thing that must hold, whatever the speed. */
export interface Check {
  name: string;
  passed: boolean;
  /** What was seen. */
  detail: string;
}

/** A check with its name, its verdict and what was seen. */
export function check(name: string, passed: boolean, detail: string): Check {
  return { name, passed, detail };
}

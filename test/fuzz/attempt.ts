/** One call as it was made, to be made again: what a finding is kept as. */
export interface Attempt {
  path: string;
  /** In the order in which they were sent. */
  messages: Uint8Array[];
}

/** The form of the files in corpus/. */
interface AttemptFile {
  /** What it once did. */
  found: string;
  path: string;
  messages: string[];
}

export function attemptOf(text: string): Attempt & { found: string } {
  const { messages, ...rest } = JSON.parse(text) as AttemptFile;
  return { ...rest, messages: messages.map((hex) => Buffer.from(hex, 'hex')) };
}

export function attemptText({ messages, ...rest }: Attempt, found: string): string {
  const file: AttemptFile = { found, ...rest, messages: messages.map((bytes) => Buffer.from(bytes).toString('hex')) };
  return `${JSON.stringify(file, undefined, 2)}\n`;
}

/** JSON.parse, whose errors quote what they could not read: somebody's payload, or a secret. These say only where it stands. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const position = /at position (\d+)/.exec((error as Error).message)?.[1];
    // eslint-disable-next-line preserve-caught-error -- it is what must not be told
    throw new SyntaxError(position === undefined ? 'not JSON' : `not JSON, at character ${position}`);
  }
}

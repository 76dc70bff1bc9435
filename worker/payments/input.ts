/** What the commands of this folder have in common: the example file, and numbers typed by people. */
import { fileURLToPath } from 'node:url';

export const exampleFile = fileURLToPath(new URL('intents.csv', import.meta.url));

/** Says what is wrong with what was typed. */
export class InputError extends Error {}

/** Throws InputError unless `text` is a whole number from `least` to `most`. */
export function wholeNumber(option: string, text: string, least: number, most: number): number {
  const number = Number(text);
  if (/^\d{1,10}$/.test(text) && number >= least && number <= most) return number;
  throw new InputError(`${option} must be a whole number from ${least} to ${most}, not ${JSON.stringify(text)}.`);
}

const NAME_CHARACTERS_MAX = 128;

/** What a queue's or a type's name may be, in words. */
export const NAME_WORDS = `must be 1 to ${NAME_CHARACTERS_MAX} letters, digits or . _ - : /, the first a letter or digit`;

/** By character code: 1 for a letter or digit, 2 for what may follow. */
const KINDS = new Uint8Array(128);
for (const character of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789') {
  KINDS[character.charCodeAt(0)] = 1;
}
for (const character of '._-:/') {
  KINDS[character.charCodeAt(0)] = 2;
}

/** Whether this can be the name of a queue or of a type. */
export function isName(name: string): boolean {
  if (name.length === 0 || name.length > NAME_CHARACTERS_MAX || KINDS[name.charCodeAt(0)] !== 1) {
    return false;
  }
  for (let index = 1; index < name.length; index += 1) {
    if (!KINDS[name.charCodeAt(index)]) {
      return false;
    }
  }
  return true;
}

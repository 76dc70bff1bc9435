import { composeIBAN, isValidIBAN } from 'ibantools';
import type { Random } from './random.ts';

const digits = '0123456789';
const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';

/** What follows the check digits, by country: a letter or digit alphabet and how many of it. */
const accountForms: readonly (readonly [country: string, form: readonly (readonly [alphabet: string, length: number])[]])[] = [
  ['DE', [[digits, 18]]],
  ['GB', [[letters, 4], [digits, 14]]],
  ['IE', [[letters, 4], [digits, 14]]],
  ['NL', [[letters, 4], [digits, 10]]],
  ['AT', [[digits, 16]]],
  ['CH', [[digits, 17]]],
  ['LU', [[digits, 16]]],
  ['SE', [[digits, 20]]],
  ['DK', [[digits, 14]]],
  ['FI', [[digits, 14]]],
  ['GR', [[digits, 23]]],
  ['CZ', [[digits, 20]]],
  ['KW', [[letters, 4], [letters + digits, 22]]],
  ['BH', [[letters, 4], [letters + digits, 14]]],
  ['TN', [[digits, 20]]],
];

/** An IBAN of a random country and account, with the check digits that ibantools computes and accepts. */
export function generateIban(random: Random): string {
  const [countryCode, form] = random.pick(accountForms);
  for (;;) {
    const bban = form.map(([alphabet, length]) => random.text(alphabet, length)).join('');
    const iban = composeIBAN({ countryCode, bban });
    if (iban !== null && isValidIBAN(iban)) return iban;
  }
}

/** The same IBAN with a digit mistyped, as people do: the check digits no longer agree. */
export function mistypeIban(iban: string, random: Random): string {
  for (;;) {
    const at = random.between(6, iban.length - 1);
    const mistyped = iban.slice(0, at) + random.text(digits, 1) + iban.slice(at + 1);
    if (!isValidIBAN(mistyped)) return mistyped;
  }
}

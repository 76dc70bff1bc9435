/**
 * How many decimals each currency has (ISO 4217). An amount is only ever a whole number of minor units (cents, fils,
 * yen) in a BigInt: no floating point anywhere between the file and the ledger.
 */
const currenciesByMinorDigits: Record<number, string> = {
  0: 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF',
  2: 'AED ARS AUD BGN BRL CAD CHF CNY COP CZK DKK EGP EUR GBP HKD HUF IDR ILS INR KES MAD MXN MYR NGN NOK NZD PEN PHP '
    + 'PLN QAR RON RSD SAR SEK SGD THB TRY TWD UAH USD ZAR',
  3: 'BHD IQD JOD KWD LYD OMR TND',
};

/** Decimals by currency code, for every currency that an intent may have. */
export const minorDigits: ReadonlyMap<string, number> = new Map(
  Object.entries(currenciesByMinorDigits).flatMap(([digits, codes]) =>
    codes.split(' ').map((code): [string, number] => [code, Number(digits)])),
);

/** At most this many digits before the point, so that any amount fits PostgreSQL's bigint in minor units. */
const wholeDigitsMax = 15;

/** Says what is wrong with an amount, in words for whoever wrote the file. */
export class AmountError extends Error {}

/**
 * `12.50` in EUR is 1250n, `12800` in JPY is 12800n, `0.005` in KWD is 5n. Plain decimals only: no sign, no thousands
 * separator, no exponent, no more decimals than the currency has. Throws AmountError.
 */
export function parseAmount(amount: string, currency: string): bigint {
  const digits = minorDigits.get(currency);
  if (digits === undefined) throw new AmountError(`unknown currency ${JSON.stringify(currency.slice(0, 20))}`);
  const match = /^(0|[1-9][0-9]*)(?:\.([0-9]+))?$/.exec(amount);
  if (match === null) throw new AmountError(`amount ${JSON.stringify(amount.slice(0, 40))} is not a plain decimal number`);
  const [, whole = '', fraction = ''] = match;
  if (fraction.length > digits) throw new AmountError(`amount ${amount.slice(0, 40)} has more decimals than ${currency} (${digits})`);
  if (whole.length > wholeDigitsMax) throw new AmountError(`amount has more than ${wholeDigitsMax} digits before the point`);
  const minor = BigInt(whole + fraction.padEnd(digits, '0'));
  if (minor === 0n) throw new AmountError('amount is zero');
  return minor;
}

/** 1250n in EUR is `12.50`; with `grouped`, 123456789n is `1,234,567.89`. A negative amount keeps its sign. */
export function formatMinor(minor: bigint, currency: string, grouped = false): string {
  const digits = minorDigits.get(currency) ?? 0;
  const text = (minor < 0n ? -minor : minor).toString().padStart(digits + 1, '0');
  const whole = text.slice(0, text.length - digits);
  const separated = grouped ? whole.replace(/\B(?=(\d{3})+$)/g, ',') : whole;
  return (minor < 0n ? '-' : '') + separated + (digits === 0 ? '' : `.${text.slice(text.length - digits)}`);
}

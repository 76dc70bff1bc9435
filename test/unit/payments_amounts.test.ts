import test from 'ava';
import fc from 'fast-check';
import { AmountError, formatMinor, minorDigits, parseAmount } from '../../worker/payments/currency.ts';

const anyCurrency = fc.constantFrom(...minorDigits.keys());

test('an amount is the same after it was written and read, in every currency', (t) => {
  fc.assert(fc.property(anyCurrency, fc.bigInt({ min: 1n, max: 10n ** 15n - 1n }), (currency, minor) => {
    t.is(parseAmount(formatMinor(minor, currency), currency), minor);
  }));
});

test('amounts are exact where floating point is not', (t) => {
  t.is(parseAmount('0.29', 'EUR'), 29n);
  t.is(parseAmount('1.005', 'KWD'), 1005n);
  t.is(parseAmount('999999999999999.99', 'USD'), 99999999999999999n);
  t.is(parseAmount('12.5', 'EUR'), 1250n);
  t.is(parseAmount('12800', 'JPY'), 12800n);
});

test('what is not a plain decimal number of the currency is refused, in words', (t) => {
  const refused: [string, string, RegExp][] = [
    ['12.345', 'EUR', /more decimals than EUR/], ['1.5', 'JPY', /more decimals than JPY/], ['1.2345', 'KWD', /more decimals/],
    ['-1.00', 'EUR', /not a plain/], ['+1', 'EUR', /not a plain/], ['1,000.00', 'EUR', /not a plain/], ['1e3', 'EUR', /not a plain/],
    ['', 'EUR', /not a plain/], ['.5', 'EUR', /not a plain/], ['5.', 'EUR', /not a plain/], ['01.00', 'EUR', /not a plain/],
    ['１２', 'JPY', /not a plain/], ['0.00', 'EUR', /zero/], ['1000000000000000', 'EUR', /15 digits/], ['1', 'ZZZ', /unknown currency/],
  ];
  for (const [amount, currency, message] of refused) {
    t.throws(() => parseAmount(amount, currency), { instanceOf: AmountError, message }, `${amount} ${currency}`);
  }
});

test('formatting groups thousands and keeps the sign', (t) => {
  t.is(formatMinor(123456789n, 'EUR', true), '1,234,567.89');
  t.is(formatMinor(-5n, 'KWD'), '-0.005');
  t.is(formatMinor(1234567n, 'JPY', true), '1,234,567');
  t.is(formatMinor(0n, 'EUR'), '0.00');
});

test('decimals agree with Unicode\'s data, save where those give the smallest coin', (t) => {
  const roundedToCash = new Set(['COP', 'HUF', 'IDR', 'IQD']);
  for (const [currency, digits] of minorDigits) {
    const format = new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions();
    if (!roundedToCash.has(currency)) t.is(digits, format.maximumFractionDigits!, currency);
  }
});

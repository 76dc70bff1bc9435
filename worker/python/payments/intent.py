"""A job's payload as a payment."""

import re
import unicodedata
from dataclasses import dataclass
from json import dumps
from typing import Any

WHOLE_NUMBER_MAX = 2**53 - 1
"""Beyond it JSON numbers are not exact everywhere."""
WHOLE_DIGITS_MAX = 15
"""Before the point of an amount, so that any fits PostgreSQL's bigint in minor units."""
CHARACTERS_MAX = {'reference': 100, 'merchant': 200}
CHARACTERS_MAX_OTHERWISE = 2000

MINOR_DIGITS = {
    currency: digits
    for digits, currencies in {
        0: 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF',
        2: 'AED ARS AUD BGN BRL CAD CHF CNY COP CZK DKK EGP EUR GBP HKD HUF IDR ILS INR KES MAD MXN MYR NGN NOK NZD PEN'
        ' PHP PLN QAR RON RSD SAR SEK SGD THB TRY TWD UAH USD ZAR',
        3: 'BHD IQD JOD KWD LYD OMR TND',
    }.items()
    for currency in currencies.split()
}
"""How many decimals each currency has (ISO 4217)."""


class IntentError(Exception):
    """What is wrong with a payload, in words for whoever wrote it."""


@dataclass(frozen=True)
class Payment:
    run: str
    copy: int
    line: int
    reference: str
    merchant: str
    iban: str
    currency: str
    amount_minor: int
    """Cents, yen, fils: no floating point anywhere between the file and the ledger."""
    token: str

    @property
    def ledger_key(self) -> bytes:
        """The order in which every worker, in whatever language, captures the payments of one transaction (ledger.sql
        says why): that of JavaScript, which compares strings by UTF-16 units."""
        text = dumps([self.run, self.copy, self.reference], ensure_ascii=False, separators=(',', ':'))
        return text.encode('utf-16-be')


def payment_of(payload: Any) -> Payment:
    """Raises IntentError."""
    if not isinstance(payload, dict):
        raise IntentError('the payload is not a JSON object')
    fields = {'run': 'by-hand', 'copy': 1, 'line': 0, **payload}
    run, reference, merchant, iban, currency, amount, token = (
        _text(fields, name) for name in ('run', 'reference', 'merchant', 'iban', 'currency', 'amount', 'token')
    )
    copy, line = _whole_number(fields['copy']), _whole_number(fields['line'])
    if copy is None or line is None:
        raise IntentError('copy or line is not a whole number')
    return Payment(run, copy, line, reference, merchant, iban, currency, parse_amount(amount, currency), token)


def parse_amount(amount: str, currency: str) -> int:
    """12.50 in EUR is 1250, 12800 in JPY is 12800. Plain decimals only. Raises IntentError."""
    digits = MINOR_DIGITS.get(currency)
    if digits is None:
        raise IntentError(f'unknown currency {dumps(currency[:20], ensure_ascii=False)}')
    match = re.fullmatch(r'(0|[1-9][0-9]*)(?:\.([0-9]+))?', amount)
    if match is None:
        raise IntentError(f'amount {dumps(amount[:40], ensure_ascii=False)} is not a plain decimal number')
    whole, fraction = match[1], match[2] or ''
    if len(fraction) > digits:
        raise IntentError(f'amount {amount[:40]} has more decimals than {currency} ({digits})')
    if len(whole) > WHOLE_DIGITS_MAX:
        raise IntentError(f'amount has more than {WHOLE_DIGITS_MAX} digits before the point')
    minor = int(whole + fraction.ljust(digits, '0'))
    if minor == 0:
        raise IntentError('amount is zero')
    return minor


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise IntentError(f'{name} is missing or not text')
    characters_max = CHARACTERS_MAX.get(name, CHARACTERS_MAX_OTHERWISE)
    if len(value) > characters_max:
        raise IntentError(f'{name} is longer than {characters_max} characters')
    if value == '':
        raise IntentError(f'{name} is empty')
    categories = {character: unicodedata.category(character) for character in set(value)}
    if '\ufffd' in value or 'Cs' in categories.values():
        raise IntentError(f'{name} is not UTF-8')
    if any(category == 'Cc' and character not in '\t\n\r' for character, category in categories.items()):
        raise IntentError(f'{name} has a control character')
    return value


def _whole_number(value: Any) -> int | None:
    """As JSON knows them: 1 and 1.0 are one number, true is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        return None
    return int(value) if abs(value) <= WHOLE_NUMBER_MAX else None

"""Currencies with their minor units, the one rounding function, and allocation by largest remainder.

Source: rating.md §1. An amount stays exact until its line is created; then it is rounded here, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_UP, Context, Decimal
from enum import StrEnum
from types import MappingProxyType


class Rounding(StrEnum):
    """How a number is rounded to a scale; `half_up` is half away from zero, as on paper."""

    HALF_UP = "half_up"
    HALF_EVEN = "half_even"
    CEILING = "ceiling"
    FLOOR = "floor"
    UP = "up"
    DOWN = "down"


HALF_UP = Rounding.HALF_UP

_DECIMAL_MODES: Mapping[str, str] = {
    Rounding.HALF_UP: ROUND_HALF_UP,
    Rounding.HALF_EVEN: ROUND_HALF_EVEN,
    Rounding.CEILING: ROUND_CEILING,
    Rounding.FLOOR: ROUND_FLOOR,
    Rounding.UP: ROUND_UP,
    Rounding.DOWN: ROUND_DOWN,
}
# quantize() fails when its result has more digits than the context, so this one is wider than any number we accept.
_WIDE = Context(prec=400)

# ISO 4217, active codes. Two decimals unless listed with another number.
_TWO_DECIMALS = """AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD
CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD
HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR
MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD
SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG
YER ZAR ZMW ZWG"""
_NO_DECIMALS = """BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"""
_THREE_DECIMALS = """BHD IQD JOD KWD LYD OMR TND"""
_MINOR_UNITS: Mapping[str, int] = MappingProxyType(
    dict.fromkeys(_TWO_DECIMALS.split(), 2)
    | dict.fromkeys(_NO_DECIMALS.split(), 0)
    | dict.fromkeys(_THREE_DECIMALS.split(), 3)
    | dict.fromkeys(["CLF", "UYW"], 4)
)


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency or custom unit and the number of decimals of its minor unit (EUR 2, JPY 0, KWD 3)."""

    code: str
    minor_units: int

    def __post_init__(self) -> None:
        if not isinstance(self.code, str) or not self.code:
            raise ValueError("currency: a code must be a non-empty text")
        if isinstance(self.minor_units, bool) or not isinstance(self.minor_units, int) or self.minor_units < 0:
            raise ValueError(f"minor_units: must be an integer of at least 0, not {self.minor_units!r}")


def currency(code: str, custom: Mapping[str, int] | None = None) -> Currency:
    """The currency of an ISO 4217 code, or the custom unit that `custom` gives a scale.

    Raises ValueError for an unknown code and for a custom unit that would redefine a currency.
    """
    if custom and code in custom:
        if code in _MINOR_UNITS:
            raise ValueError(f"currency: {code} is an ISO 4217 code and cannot be a custom unit")
        return Currency(code, custom[code])
    known = _CURRENCIES.get(code)
    if known is None:
        raise ValueError(f'currency: unknown code {code!r}; use an ISO 4217 code such as "EUR" or define a unit')
    return known


def currency_codes() -> tuple[str, ...]:
    """All ISO 4217 codes that have a minor unit, in order."""
    return tuple(sorted(_MINOR_UNITS))


def round_to(value: Decimal, scale: int, mode: Rounding | str = HALF_UP) -> Decimal:
    """`value` at `scale` decimals; the scale may be negative (1284.5 at -2 is 1300). Never gives a negative zero.

    Raises ValueError for an unknown mode and for NaN or infinity, TypeError for anything but a Decimal.
    """
    if not isinstance(value, Decimal):
        raise TypeError(f"value: must be a Decimal, not a {type(value).__name__}")
    if not value.is_finite():
        raise ValueError(f"value: must be a finite number, not {value}")
    how = _DECIMAL_MODES.get(mode)
    if how is None:
        raise ValueError(f"mode: unknown rounding {mode!r}; one of {', '.join(Rounding)}")
    rounded = value.quantize(_unit(scale), rounding=how, context=_WIDE)
    if scale < 0:
        rounded = rounded.quantize(_unit(0), context=_WIDE)
    return rounded if rounded else abs(rounded)


def round_money(value: Decimal, currency: Currency, mode: Rounding | str = HALF_UP) -> Decimal:
    """An exact amount at the minor unit of its currency, by default half away from zero: -7.125 EUR is -7.13."""
    return round_to(value, currency.minor_units, mode)


def allocate(amount: Decimal, weights: Sequence[Decimal], currency: Currency) -> tuple[Decimal, ...]:
    """A rounded amount spread over weights by largest remainder; the parts add up to the amount.

    Each exact share is floored to the minor unit and the units left go one each to the largest fractions, ties to the
    earlier. Amount 0 or all weights 0 give zeros; a negative amount is allocated by its absolute value.
    Raises ValueError for a negative weight and for an amount that is not rounded to the currency.
    """
    total_units = _units(amount, currency)
    weight_sum = _sum_of_weights(weights)
    if not total_units or not weight_sum:
        return (_unit(currency.minor_units) * 0,) * len(weights)
    size = abs(total_units)
    shares = [_WIDE.multiply(Decimal(size), weight) for weight in weights]
    floors = [int(_WIDE.divide_int(share, weight_sum)) for share in shares]
    rests = [
        _WIDE.subtract(share, _WIDE.multiply(weight_sum, Decimal(f))) for share, f in zip(shares, floors, strict=True)
    ]
    first = sorted(range(len(weights)), key=lambda index: -rests[index])[: size - sum(floors)]
    for index in first:
        floors[index] += 1
    sign = -1 if total_units < 0 else 1
    return tuple(Decimal(sign * units if units else 0).scaleb(-currency.minor_units, _WIDE) for units in floors)


def _unit(scale: int) -> Decimal:
    return _UNITS[scale] if 0 <= scale < len(_UNITS) else Decimal((0, (1,), -scale))


def _units(amount: Decimal, currency: Currency) -> int:
    units = amount.scaleb(currency.minor_units, _WIDE)
    if units != units.to_integral_value():
        raise ValueError(f"amount: {amount} is not rounded to {currency.minor_units} decimals of {currency.code}")
    return int(units)


def _sum_of_weights(weights: Sequence[Decimal]) -> Decimal:
    total = Decimal(0)
    for weight in weights:
        if not weight.is_finite() or weight < 0:
            raise ValueError(f"weights: must be finite and not negative, not {weight}")
        total = _WIDE.add(total, weight)
    return total


_UNITS = tuple(Decimal((0, (1,), -scale)) for scale in range(13))
_CURRENCIES = MappingProxyType({code: Currency(code, scale) for code, scale in _MINOR_UNITS.items()})

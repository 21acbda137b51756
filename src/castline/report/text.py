"""Formats numbers and names for readers."""

from __future__ import annotations


def clock(value: float | None) -> str:
    """A position: ``0:07``, ``12:40``, ``1:02:03``; an en dash if unknown."""
    if value is None:
        return "–"
    minutes, rest = divmod(int(max(value, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def seconds(value: float | None) -> str:
    """A length: ``0.4 s``, ``14 s``, ``3 min 20 s``, ``1 h 5 min``; an en dash when unknown."""
    if value is None:
        return "–"
    if value < 9.95:
        return f"{value:.2f} s" if 0 < value < 0.095 else f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def length_of(value: float) -> str:
    """A length for narrow places: seconds below a minute, a clock above."""
    return seconds(value) if value < 59.5 else clock(round(value))


def money(usd: float) -> str:
    """US dollars with as many digits as fractions of a cent need."""
    if usd == 0:
        return "$0"
    if usd < 0.000001:
        return "< $0.000001"
    return f"${usd:.2f}" if usd >= 1 else f"${usd:.4f}" if usd >= 0.01 else f"${usd:.6f}"


def amount(quantity: float) -> str:
    """Four digits, and never an exponent: ``18.37``, ``0.000035``."""
    if quantity >= 1000:
        return f"{quantity:.0f}"
    return f"{quantity:.4g}" if quantity >= 0.0001 or quantity == 0 else f"{quantity:.6f}"


def similarity(value: float) -> str:
    return f"{value:.2f}"


def file_size(size: int) -> str:
    """Bytes in decimal units: ``512 bytes``, ``1.2 MB``."""
    if size < 1000:
        return f"{size} bytes"
    amount, units = size / 1000, ["kB", "MB", "GB"]
    while amount >= 999.5 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{amount:.1f} {units[0]}" if amount < 9.95 else f"{amount:.0f} {units[0]}"


def initials(name: str) -> str:
    """At most two characters to stand in for a portrait: ``AL`` for Ada Lovelace."""
    words = name.split()
    if not words:
        return "?"
    return (words[0][:1] + (words[-1][:1] if len(words) > 1 else "")).upper()

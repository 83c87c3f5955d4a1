"""How much is a Kubernetes quantity? `1500m` cores, `1Gi` bytes; and how is one written?"""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["cores", "quantity"]

_SHAPE = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def quantity(value: object) -> Fraction:
    """Exactly what a quantity says. Raises ValueError for anything that is none."""
    found = _SHAPE.fullmatch(str(value)) if isinstance(value, (str, int)) else None
    if found is None or isinstance(value, bool):
        raise ValueError(f"{value!r} is no quantity")
    number, exponent, unit = found.groups()
    if exponent:
        power = int(exponent[1:])
        if abs(power) > 30:
            raise ValueError(f"{value!r} is no quantity")
        return Fraction(f"{number}e{power}")
    if unit in _BINARY:
        return Fraction(number) * (1 << _BINARY[unit])
    return Fraction(f"{number}e{_DECIMAL[unit or '']}")


def cores(cpu: float) -> str:
    """Cores as Kubernetes writes them, in thousandths; never none."""
    return f"{max(1, round(cpu * 1000))}m"

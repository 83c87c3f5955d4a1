"""How are sizes and times written, and what do they mean? Sizes are bytes, times are seconds."""

from __future__ import annotations

import re

from .errors import ConfigurationError

__all__ = ["format_duration", "format_size", "parse_cpu", "parse_duration", "parse_size"]

_SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_TIMES = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_size(text: str | int, field: str = "size") -> int:
    """Bytes of `"512M"`, `"4G"` or a whole number of bytes; powers of 1024, as JupyterHub counts."""
    if isinstance(text, int) and not isinstance(text, bool) and text > 0:
        return text
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([KMGT]?)", text) if isinstance(text, str) else None
    size = int(float(match[1]) * _SIZES[match[2]]) if match else 0
    if size < 1:
        raise ConfigurationError(
            f"{field}: {text!r} is not a size.", field=field, remedy='Write "512M", "4G" or bytes.'
        )
    return size


def parse_duration(text: str | int, field: str = "duration") -> int:
    """Seconds of `"90s"`, `"45m"`, `"8h"`, `"2d"`, `"1h30m"` or a whole number of seconds."""
    if isinstance(text, int) and not isinstance(text, bool) and text > 0:
        return text
    parts = re.findall(r"([0-9]+)([smhd])", text) if isinstance(text, str) else []
    seconds = sum(int(number) * _TIMES[unit] for number, unit in parts)
    if seconds < 1 or "".join(number + unit for number, unit in parts) != text:
        raise ConfigurationError(
            f"{field}: {text!r} is not a duration.", field=field, remedy='Write "45m", "8h" or "1h30m".'
        )
    return seconds


def parse_cpu(number: float | int, field: str = "cpu") -> float:
    """Cores, a number above 0; fractions are allowed."""
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number <= 4096:
        raise ConfigurationError(
            f"{field}: {number!r} is not a number of cores.", field=field, remedy="Write 2 or 0.5."
        )
    return float(number)


def format_size(size: int) -> str:
    """`4.0 GB` for people; two significant parts are enough on a form."""
    value = float(size)
    for unit in ("bytes", "KB", "MB", "GB"):
        if value < 1024:
            return f"{size} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TB"


def format_duration(seconds: float) -> str:
    """`1 h 30 min`, `45 min` or `20 s` for people."""
    total = int(seconds)
    if total < 60:
        return f"{total} s"
    hours, minutes = divmod(total // 60, 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"

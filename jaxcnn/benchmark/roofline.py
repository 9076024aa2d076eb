"""Where work stands between a device's two peaks: arithmetic and memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Peak:
    """What a device can do, as measured.

    Example:
        >>> Peak({"float32": 3e11}, 2e10).ridge("float32")
        15.0
    """

    flops_per_s: Mapping[str, float]
    """Of large matrix products, by dtype."""
    bytes_per_s: float
    """Of copying an array that no cache holds, read and write together."""

    def ridge(self, dtype: str) -> float:
        """Return the arithmetic intensity, in FLOPs per byte, from which arithmetic is the bound."""
        return self.flops_per_s[dtype] / self.bytes_per_s


def place(peak: Peak, dtype: str, *, flops: int, moved: int, seconds: float) -> dict[str, Any]:
    """Place a measured work under the roof.

    The roof is min(peak FLOP/s, intensity x peak bytes/s), where the intensity is FLOPs per byte of the work's own
    inputs and outputs, each moved once: what no program of it can go below.

    Args:
        peak: Of the device.
        dtype: That the arithmetic is done in.
        flops: Of one call, analytic.
        moved: Bytes of its inputs and outputs.
        seconds: Of one call, measured.

    Returns:
        `intensity`, `bound` (`compute` or `memory`), `attainable_flops_per_s`, `flops_per_s`, `fraction` of the roof,
        `mfu`, the share of the arithmetic peak (model FLOPs utilisation), and both peaks.

    Raises:
        ValueError: The peak of that dtype was not measured.

    Example:
        >>> told = place(Peak({"float32": 100.0}, 10.0), "float32", flops=40, moved=20, seconds=4.0)
        >>> told["bound"], told["attainable_flops_per_s"], told["fraction"], told["mfu"]
        ('memory', 20.0, 0.5, 0.1)

    Reference:
        Williams, Waterman and Patterson, "Roofline", 2009. Chowdhery et al., "PaLM", 2022, appendix B (MFU).
    """
    if dtype not in peak.flops_per_s:
        raise ValueError(f"the peak of {dtype} was not measured: there are {', '.join(peak.flops_per_s)}")
    intensity = flops / moved if moved else float("inf")
    roof = min(peak.flops_per_s[dtype], intensity * peak.bytes_per_s)
    return {
        "intensity": intensity,
        "bound": "compute" if intensity >= peak.ridge(dtype) else "memory",
        "attainable_flops_per_s": roof,
        "flops_per_s": flops / seconds,
        "peak_flops_per_s": peak.flops_per_s[dtype],
        "peak_bytes_per_s": peak.bytes_per_s,
        "fraction": flops / seconds / roof,
        "mfu": flops / seconds / peak.flops_per_s[dtype],
    }

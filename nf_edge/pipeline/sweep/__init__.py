"""Compare several recipes for one model: size, speed and accuracy."""

from nf_edge.pipeline.sweep.run import sweep
from nf_edge.pipeline.sweep.sweep_report import JSON, PAGE, Compressed, SweepReport

__all__ = ["JSON", "PAGE", "Compressed", "SweepReport", "sweep"]

"""One model by several recipes side by side: what each saves, and what it costs."""

from nf_edge.pipeline.sweep.report import JSON, PAGE, Compressed, SweepReport
from nf_edge.pipeline.sweep.run import sweep

__all__ = ["JSON", "PAGE", "Compressed", "SweepReport", "sweep"]

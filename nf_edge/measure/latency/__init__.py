"""Latency of an artifact: time to load, to read a prompt, and to generate each further token."""

from nf_edge.measure.latency.bench import bench
from nf_edge.measure.latency.latency_report import LatencyReport
from nf_edge.measure.latency.plan import BenchOptions, BenchPlan, BenchSubject, make_plan

__all__ = ["BenchOptions", "BenchPlan", "BenchSubject", "LatencyReport", "bench", "make_plan"]

"""Latency: the time that an artifact takes to load, to read a prompt, and to generate each token after it."""

from nf_edge.measure.latency.bench import bench
from nf_edge.measure.latency.latency_report import LatencyReport
from nf_edge.measure.latency.plan import BenchOptions, BenchPlan, BenchSubject, make_plan

__all__ = ["BenchOptions", "BenchPlan", "BenchSubject", "LatencyReport", "bench", "make_plan"]

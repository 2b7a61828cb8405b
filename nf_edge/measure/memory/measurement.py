"""The memory of one native process that ran a model at its largest input."""

from dataclasses import dataclass
from typing import Self

from nf_edge.measure.runner import RunResult


@dataclass(frozen=True)
class Measurement:
    """Bytes of a native process, from its anonymous pages and its pages of files.

    Attributes:
        mapped: resident pages of the model file.
        loaded: private pages that loading added, without arenas and libraries.  They include heap that
            loading freed and the C library keeps.
        cache: keys and values, as planned; a run shows them as part of the arenas.
        arenas: the program's memory-planned buffers; for ONNX Runtime, private pages that the runs added.
        workspace: private pages that ExecuTorch's delegates and kernels added in the runs.
        runtime_private: private pages before the model was read, and those of libraries that loading
            opened.
        runtime_shareable: pages of libraries, which processes share.
        load_peak: highest resident memory until the model was loaded.
        steady: highest resident memory after that.
    """

    mapped: int
    loaded: int
    cache: int
    arenas: int
    workspace: int
    runtime_private: int
    runtime_shareable: int
    load_peak: int
    steady: int

    @property
    def peak(self) -> int:
        return max(self.load_peak, self.steady)

    @property
    def unaccounted(self) -> int:
        """The part of `steady` that is in no other figure: memory that a run used and gave back."""
        parts = self.mapped + self.loaded + self.cache + self.arenas + self.workspace
        return self.steady - parts - self.runtime_private - self.runtime_shareable

    @classmethod
    def of(cls, result: RunResult, cache: int) -> Self:
        """The measurement of a complete run.

        Args:
            cache: bytes of the full cache.
        """
        start, loaded, end = (result.stage(name) for name in ("start", "method_loaded", "finished"))
        # A delegate may open its library, such as OpenVINO's, only when it loads the model.
        opened = loaded.library_rss_anon - start.library_rss_anon
        at_load, at_runs = loaded.rss_anon - start.rss_anon, end.rss_anon - loaded.rss_anon
        loading = [stage.name for stage in result.stages].index("method_loaded") + 1
        load_peak, steady = (
            max(stage.rss_peak_of_stage for stage in stages)
            for stages in (result.stages[:loading], result.stages[loading:])
        )
        planned = sum(result.planned_buffers)
        arenas, workspace = (planned, at_runs) if result.planned_buffers else (at_runs, 0)
        if result.planned_buffers:
            # Kernels free their temporary memory before the run ends, so its last stage does not show it.
            workspace += max(0, min(steady - end.rss, result.temporary_peak))
        return cls(
            mapped=end.model_mapped_rss,
            loaded=at_load - planned - opened,
            cache=cache,
            arenas=arenas - cache,
            workspace=workspace,
            runtime_private=start.rss_anon + opened,
            runtime_shareable=end.rss_file - end.model_mapped_rss,
            load_peak=load_peak,
            steady=steady,
        )

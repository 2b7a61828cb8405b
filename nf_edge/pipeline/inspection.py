"""`inspect`: the manifest of an artifact, the operators of its model file, and the runtimes that load it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nf_edge.artifact import Artifact
from nf_edge.core.errors import BadInput
from nf_edge.measure.attempts import Load, loads_of
from nf_edge.measure.emulation import EmulatedCore


@dataclass(frozen=True)
class Inspection:
    """An artifact, and whether its model file loads.

    Attributes:
        operators: number of uses of each operator and delegate in the model file, by name.
        loads: the result of loading the model file, one for each runtime and emulated core.
    """

    artifact: Artifact
    operators: dict[str, int]
    loads: tuple[Load, ...]

    @property
    def failure(self) -> BadInput | None:
        """The error if no runtime loads the model file; None if one does."""
        if not all(load.problem for load in self.loads):
            return None
        return BadInput(
            "does not load in any runtime on this machine",
            where=self.artifact.model_file,
            fix="see the error of each attempt in the report",
        )

    def to_json(self) -> dict[str, Any]:
        """The manifest without its reports, and three more keys.

        `signature` is its signature, `operators` counts the file's operators, and `loads` has the result of
        loading the file in each runtime.
        """
        return {
            **self.artifact.manifest.model_dump(mode="json", by_alias=True, exclude={"reports"}),
            "signature": self.artifact.signature,
            "operators": self.operators,
            "loads": [asdict(load) for load in self.loads],
        }


def inspect(artifact: Artifact, cores: Sequence[EmulatedCore] = ()) -> Inspection:
    """Read the operators of an artifact's model file, and try to load it in each runtime, also on emulated
    cores.

    Raises:
        BadInput: the file cannot be read.
        MissingTool: a package of the backend is not installed.
    """
    runnable = artifact.runnable()
    loads = loads_of(runnable, cores)
    return Inspection(artifact, runnable.backend.operators(runnable.file), loads)

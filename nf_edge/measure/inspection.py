"""`inspect`: what an artifact is made of and needs, and whether it loads here."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nf_edge.artifact import Artifact
from nf_edge.backends import backend_for
from nf_edge.backends.base import Backend
from nf_edge.core.errors import BadInput, NfEdgeError
from nf_edge.measure import runner
from nf_edge.measure.emulation import EmulatedCore


@dataclass(frozen=True)
class Load:
    """An attempt to load the model file; `problem` is "" where it went well."""

    where: str
    problem: str


@dataclass(frozen=True)
class Inspection:
    """What is in an artifact, and where it loads.

    Attributes:
        operators: how often the model file uses each operator and delegate.
        loads: the runtime in Python, and the native runner; or what simulates the device; then cores.
    """

    artifact: Artifact
    operators: dict[str, int]
    loads: tuple[Load, ...]

    @property
    def failure(self) -> BadInput | None:
        """Set where the model file loads in no runtime."""
        if not all(load.problem for load in self.loads):
            return None
        return BadInput("loads in no runtime here", where=self.artifact.model_file)

    def to_json(self) -> dict[str, Any]:
        """The manifest without its reports, the state of the signature, operators and loads."""
        return {
            **self.artifact.manifest.model_dump(mode="json", by_alias=True, exclude={"reports"}),
            "signature": self.artifact.signature,
            "operators": self.operators,
            "loads": [asdict(load) for load in self.loads],
        }


def inspect(artifact: Artifact, cores: Sequence[EmulatedCore] = ()) -> Inspection:
    """Read the operators out of a model file, and load it in every way that this machine has, and as other
    cores.

    Raises:
        BadInput: the file cannot be read at all.
    """
    manifest, model = artifact.manifest, artifact.model_file
    backend = backend_for(manifest.recipe)
    where = backend.reference_executor or f"{backend.runtime} in Python"
    loads = [Load(where, _problem(lambda: backend.load(model, manifest.interface.input_shape)))]
    if not backend.reference_executor:
        loads.append(Load(f"{backend.runtime} natively", _problem(lambda: _load_natively(backend, model))))
    for core in cores:
        where = f"{backend.runtime} on {core.name}, emulated as {core.cpu} by QEMU {core.emulator.version}"
        loads.append(Load(where, _problem(partial(_load_as, core, backend, model))))
    return Inspection(artifact, backend.operators(model), tuple(loads))


def _load_as(core: EmulatedCore, backend: Backend, model: Path) -> None:
    runner.run_command(core.command(backend, model), model, [])


def _load_natively(backend: Backend, model: Path) -> None:
    runner.run(
        backend.runtime, model, [], operators=backend.operators_file(), launcher=backend.launcher(None)
    )


def _problem(load: Callable[[], object]) -> str:
    try:
        load()
    except NfEdgeError as error:
        return str(error)
    return ""

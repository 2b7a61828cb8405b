"""The interface of a backend: it lowers a program, and runs and explains the resulting file."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import numpy as np
from torch import Tensor, nn

from nf_edge.backends.coverage.coverage import Coverage, Operator, coverage_of
from nf_edge.backends.coverage.fixes import fixes_for
from nf_edge.backends.file_layout import FileLayout
from nf_edge.backends.input_shape import CacheDtype, Inputs, InputShape
from nf_edge.backends.lowering_report import LoweringReport
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.precisions import Precisions
from nf_edge.backends.runtime_tokenizer import TokenizerReading
from nf_edge.backends.spec import BackendSpec
from nf_edge.backends.taps import Lowering, Tapped, tapped_program
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.targets import BuildTarget
from nf_edge.model import Decoder, ModelConfig, NoiseFormer


class Session(Protocol):
    """An artifact without a cache, loaded from its file on this machine."""

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Compute float32 logits from `input_ids` and `attention_mask`, int64 [B, T] each."""


class Backend(BackendSpec):
    """A way to lower a program for one runtime, and to run the resulting file.

    Class constants name files, libraries and operators.  `support` describes the accepted recipes.
    """

    model_file: ClassVar[str]
    companions: ClassVar[tuple[str, ...]] = ()
    """Files next to the model file that this machine needs to run or explain the model file."""
    library: ClassVar[str]
    """The library that executes most operators of the model file, for reports.  `{target}` stands for the
    target.
    """
    covers: ClassVar[frozenset[str]] = frozenset()
    """PyTorch operators that this backend always delegates.  Reports suggest this backend if another one does
    not delegate them.
    """
    leaves: ClassVar[Mapping[str, str]] = {}
    """Map an operator's name to the reason why the library leaves the operator to ExecuTorch's kernels."""
    leaves_others: ClassVar[str] = ""
    """The reason why the library leaves operators that have no entry in `leaves`."""
    attention_form: ClassVar[str]
    """The computation of attention, in a few words, for reports."""
    operator_libraries: ClassVar[tuple[str, ...]]
    """Libraries that an application links in addition to the runtime."""
    environment: ClassVar[Mapping[str, str]] = {}
    """Environment variables to set before loading a model file."""
    other_requirements: ClassVar[str] = ""
    """Other requirements of an application, as a sentence for `RUN.md` and the manifest."""
    floats: ClassVar[str] = "float32"
    """dtype of weights and activations that are not quantized."""
    quantizes: ClassVar[Literal["program", "lowering", "file"]] = "program"
    """When weights are rounded: in the program before lowering, during lowering, or in the lowered file."""
    chunk: ClassVar[int | None] = None
    """Tokens of one call of a model with a cache, including padding; None if any number is possible."""
    reference_executor: ClassVar[str] = ""
    """The program that computes a file's predictions on this machine in place of the device, for reports; ""
    if the runtime itself does.
    """
    graph_library: ClassVar[str] = "PyTorch"
    """The library that runs the exported graph, for reports."""
    traces: ClassVar[bool] = False
    """Whether the native runner can record the outputs of every instruction of a file."""
    runtime_title: ClassVar[str]
    """The runtime's name in `RUN.md`."""

    @abstractmethod
    def specialise(self, model: NoiseFormer, recipe: Recipe) -> None:
        """Rewrite the network in place into a form that runs fast on this backend.

        The predictions stay the same, unless the recipe requests int8 attention.
        """

    @abstractmethod
    def inputs(self, config: ModelConfig, input_shape: InputShape) -> tuple[str, ...]:
        """Names of the model file's inputs, in order."""

    @abstractmethod
    def program(self, model: NoiseFormer, input_shape: InputShape, cache: CacheDtype | None) -> nn.Module:
        """Wrap a specialised network as the program to lower; both share the same modules.

        A program without a cache maps (input_ids, attention_mask), int64 [B, T] each, to logits.

        Args:
            cache: dtype of the program's cache; None for a program without a cache.
        """

    def round_weights(self, model: NoiseFormer, recipe: Recipe) -> dict[str, Tensor] | None:
        """Round a network's weights in place, for a compiler that does not accept codes and scales.

        Returns:
            The rounded weights of linear layers, by name; None if the backend accepts codes and scales.
        """
        return None

    def quantize_static(
        self,
        program: nn.Module,
        recipe: Recipe,
        precision_of: Precisions,
        input_shape: InputShape,
        calibration_inputs: Inputs,
    ) -> nn.Module:
        """Quantize the program's layers; static activations get their ranges from the calibration inputs.

        Raises:
            TypeError: the backend quantizes the lowered file instead.
        """
        raise TypeError(f"backend {self.name} has no static activations before lowering")

    def network_weights(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Rename quantized weights from the program's module names to the network's.

        Weights of modules that the network does not have are dropped.
        """
        return weights

    def layer_report(self, module: str, precision_of: Precisions) -> tuple[str, str] | None:
        """The dtype in which this backend stores a module, and the reason for that dtype.

        None if the backend stores the dtype of the module's precision in `precision_of`.
        """
        return None

    def attention_report(self, recipe: Recipe) -> tuple[str, str] | None:
        """The dtype of attention's products and the reason for it; None if the products are not quantized."""
        if recipe.quantize is not None and recipe.quantize.attention == "int8":
            return "int8 products, a scale per token", ""
        return None

    @abstractmethod
    def lower(
        self, program: nn.Module, config: ModelConfig, input_shape: InputShape, recipe: Recipe, path: Path
    ) -> LoweringReport:
        """Lower a program, quantized as the recipe requests, to a file."""

    def graph(self, program: nn.Module, input_shape: InputShape, path: Path) -> Session | Decoder | None:
        """Load a lowered program's exported graph in the library that `graph_library` names.

        The result is None if the graph cannot run in that library.

        Args:
            program: the program that was lowered.
            path: the lowered file, before its backend quantizes it.
        """
        return None

    def tapped(self, lowering: Lowering, row: tuple[np.ndarray, np.ndarray]) -> Tapped:
        """The float32 network and the quantized model whose layers are compared.

        Args:
            row: a row's token ids and mask, to find layers in a file by their outputs.
        """
        return tapped_program(lowering)

    def require_operators(self, path: Path) -> None:
        """Check that the runtime or `operator_libraries` has each operator of a file.

        A file that this machine's runtime loads does not need this check.

        Raises:
            BadInput: neither the runtime nor a library has an operator of the file; the message names it.
        """
        return

    def covered(self, operators: Iterable[Operator], recipe: Recipe, input_shape: InputShape) -> Coverage:
        """Count the operators that the backend's accelerated library executes; list the others with reasons
        and fixes.
        """
        library = self.library.format(target=recipe.target)
        coverage = coverage_of(operators, library, input_shape.length, self._why_left)
        return coverage.with_fixes(fixes_for(recipe)) if coverage.left else coverage

    def _why_left(self, operator: str) -> str:
        return self.leaves.get(operator, self.leaves_others)

    def operators_file(self, target: BuildTarget | None = None) -> Path | None:
        """A shared library that a process must load before the model file; None if there is none.

        Args:
            target: the machine that will run the library; None is this machine.

        Raises:
            MissingTool: the library is not built, and cannot be built here.
        """
        return None

    def launcher(self, threads: int | None) -> tuple[str, ...]:
        """The start of a command that runs a model file natively, such as `env NAME=VALUE`.

        Args:
            threads: the number of CPUs that the process may use; None is all.
        """
        return ()

    @abstractmethod
    def warm_up(self) -> None:
        """Import the runtime, so that a later measurement of a session excludes the import."""

    def write_companions(
        self, config: ModelConfig, input_shape: InputShape, folder: Path, examples: Sequence[str]
    ) -> TokenizerReading | None:
        """Write the files that other programs need to run the model file in `folder`.

        Args:
            folder: the artifact's folder, which already contains its tokenizer.
            examples: typical input texts of the model.

        Returns:
            A comparison of the runtime's tokenizer with the tokenizer in `folder`; None if either is missing.
        """
        return None

    def load(self, path: Path, input_shape: InputShape, threads: int | None = None) -> Session | Decoder:
        """Load a model file: as a `Decoder` if `input_shape.cached`, else as a `Session`.

        Args:
            threads: size of the runtime's thread pool; None is the runtime's default.  ExecuTorch has one
                pool for all loaded files.

        Raises:
            BadInput: the runtime cannot load the file.
        """
        return (
            self.decoder(path, input_shape.length, threads)
            if input_shape.cached
            else self.session(path, threads)
        )

    @abstractmethod
    def run_text(self, cached: bool) -> str:
        """The part of `RUN.md` about running a model file, with or without a cache.

        The text contains names in braces.  The caller replaces them, also with the values of `run_fields`.
        """

    def run_fields(self, operators: Sequence[str]) -> Mapping[str, str]:
        """Values for names in braces in `run_text`, in addition to the names common to all backends.

        Args:
            operators: names of the model file's operators.
        """
        return {}

    @abstractmethod
    def session(self, path: Path, threads: int | None = None) -> Session:
        """Load a model file without a cache.

        Raises:
            BadInput: the runtime cannot load the file.
        """

    @abstractmethod
    def decoder(self, path: Path, capacity: int, threads: int | None = None) -> Decoder:
        """Load a model file with a cache of `capacity` positions.

        Raises:
            BadInput: the runtime cannot load the file.
        """

    @abstractmethod
    def plan(self, path: Path, config: ModelConfig, input_shape: InputShape) -> MemoryPlan:
        """The memory that a model file needs, read from the file."""

    def layout(self, path: Path, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> FileLayout:
        """A model file's weights by layer, and the use of its arena."""
        return FileLayout(None, f"a file of {self.runtime_title} plans no arena")

    @abstractmethod
    def operators(self, path: Path) -> dict[str, int]:
        """Map the name of each operator and delegate in a model file to the number of its calls."""

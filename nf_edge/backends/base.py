"""The interface of a backend: it lowers a program, and runs and explains the resulting file."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import numpy as np
from torch import Tensor, nn

from nf_edge.backends.coverage.coverage import Coverage, Operator, coverage_of
from nf_edge.backends.coverage.fixes import fixes_for
from nf_edge.backends.input_shape import CacheDtype, Inputs, InputShape
from nf_edge.backends.lowering_report import LoweringReport
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.precisions import Precisions
from nf_edge.backends.runtime_tokenizer import TokenizerReading
from nf_edge.backends.support import Support
from nf_edge.core.errors import BadInput
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.targets import BuildTarget
from nf_edge.model import Decoder, ModelConfig, NoiseFormer


def no_cache(backend: "Backend", recipe: Recipe, why: str = "") -> BadInput:
    """The error for a recipe that requests a cache that its backend does not have."""
    return BadInput(
        f"backend {backend.name} has no cache{why}, so a language model gives the logits of all tokens",
        where=f"recipe {recipe.name}",
        fix="write logits: all",
    )


class Session(Protocol):
    """An artifact without a cache, loaded from its file on this machine."""

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """int64 [B, T], int64 [B, T] → float32 logits."""


class Backend(ABC):
    """One way onto a device.

    Names of files, libraries and operators are constants of a class; what a recipe may request is `support`.
    """

    support: ClassVar[Support]
    model_file: ClassVar[str]
    companions: ClassVar[tuple[str, ...]] = ()
    """Files next to the model file that this machine needs to run or explain it."""
    library: ClassVar[str]
    """The library that executes most operators of its files, for reports; `{target}` is filled in."""
    covers: ClassVar[frozenset[str]] = frozenset()
    """PyTorch operators this backend always delegates; suggested when another backend leaves them."""
    leaves: ClassVar[Mapping[str, str]] = {}
    """Reasons why its library leaves operators to ExecuTorch's kernels, by the operators' names."""
    leaves_others: ClassVar[str] = ""
    """The reason for operators without an entry in `leaves`."""
    attention_form: ClassVar[str]
    """How attention is computed, in a few words."""
    operator_libraries: ClassVar[tuple[str, ...]]
    """Libraries that an application links in addition to the runtime."""
    process_bytes: ClassVar[int | None]
    """Resident bytes of libraries and start-up of a process, measured on x86-64 Linux; None where unknown."""
    environment: ClassVar[Mapping[str, str]] = {}
    """Environment variables to set before loading a model file."""
    other_requirements: ClassVar[str] = ""
    """Other requirements of an application, in a sentence, for `RUN.md` and the manifest."""
    floats: ClassVar[str] = "float32"
    """dtype of weights and activations that are not quantized."""
    quantizes: ClassVar[Literal["program", "lowering", "file"]] = "program"
    """When weights are rounded: in the program, as it is lowered, or in the lowered file."""
    chunk: ClassVar[int | None] = None
    """Tokens of one call of a model with a cache, padding included; None where any number is possible."""
    reference_executor: ClassVar[str] = ""
    """The program that computes a file's answers here in place of its device, for reports; "" where the
    runtime itself runs here."""
    runtime_title: ClassVar[str]
    """The runtime's name in `RUN.md`."""

    @property
    def name(self) -> str:
        return self.support.backend

    @property
    def runtime(self) -> str:
        """The package that runs its files."""
        return self.support.runtime

    @abstractmethod
    def specialise(self, model: NoiseFormer, recipe: Recipe) -> None:
        """Rewrite the network in place into what this backend runs best.

        Answers stay the same, except where the recipe requests int8 attention.
        """

    def cache_dtype(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> CacheDtype | None:
        """The dtype of the cache of a recipe's artifact; None where it has no cache.

        Raises:
            BadInput: the recipe requests a cache that this backend does not have.
        """
        if not input_shape.cached:
            return None
        if not self.support.caches:
            raise no_cache(self, recipe)
        return CacheDtype("float32")

    def require_size(self, config: ModelConfig, recipe: Recipe) -> None:
        """Refuse a model that is too large for a file of this backend.

        Raises:
            BadInput: the model is too large; names its size.
        """
        return

    @abstractmethod
    def inputs(self, config: ModelConfig, input_shape: InputShape) -> tuple[str, ...]:
        """Names of a model file's inputs, in order."""

    @abstractmethod
    def program(self, model: NoiseFormer, input_shape: InputShape, cache: CacheDtype | None) -> nn.Module:
        """The program to lower, made of a specialised network, whose modules it shares.

        Without a cache it maps (input_ids, attention_mask), int64 [B, T], to logits.
        """

    def round_weights(self, model: NoiseFormer, recipe: Recipe) -> dict[str, Tensor] | None:
        """Round a network's weights in place, for a compiler that takes no codes and scales.

        Returns:
            The rounded weights of linear layers, by name; None where the backend takes codes and scales.
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
        """The program with quantized layers; static activations have the ranges of the calibration inputs.

        Raises:
            TypeError: the backend quantizes the lowered file instead.
        """
        raise TypeError(f"backend {self.name} has no static activations before lowering")

    def network_weights(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """A program's quantized weights by the names of the network's modules, instead of the program's.

        Weights without a counterpart in the network are left out.
        """
        return weights

    def layer_report(self, module: str, precision_of: Precisions) -> tuple[str, str] | None:
        """A module's dtype and its reason, where they differ from its precision; else None."""
        return None

    def attention_report(self, recipe: Recipe) -> tuple[str, str] | None:
        """The dtype of attention's products and its reason; None where they are not quantized."""
        if recipe.quantize is not None and recipe.quantize.attention == "int8":
            return "int8 products, a scale per token", ""
        return None

    @abstractmethod
    def lower(
        self, program: nn.Module, config: ModelConfig, input_shape: InputShape, recipe: Recipe, path: Path
    ) -> LoweringReport:
        """Lower a program, quantized where the recipe requests it, to a file."""

    def require_operators(self, path: Path) -> None:
        """Refuse a file with an operator that neither the runtime nor `operator_libraries` has.

        A file that this machine's runtime loads needs no such check.

        Raises:
            BadInput: the file calls such an operator; names it.
        """
        return

    def covered(self, operators: Iterable[Operator], recipe: Recipe, input_shape: InputShape) -> Coverage:
        """The coverage of a program's operators, with a reason and a likely fix for each that is left."""
        library = self.library.format(target=recipe.target)
        coverage = coverage_of(operators, library, input_shape.length, self._why_left)
        return coverage.with_fixes(fixes_for(recipe)) if coverage.left else coverage

    def _why_left(self, operator: str) -> str:
        return self.leaves.get(operator, self.leaves_others)

    def operators_file(self, target: BuildTarget | None = None) -> Path | None:
        """A shared library that a process must load before a model file; None where there is none.

        Args:
            target: the machine that the library is for; None is this one.

        Raises:
            MissingTool: the library is not built yet, and cannot be built here.
        """
        return None

    def launcher(self, threads: int | None) -> tuple[str, ...]:
        """The start of the command of a native process that runs a model file, such as `env NAME=VALUE`.

        Args:
            threads: the number of CPUs that the process may use; None is all.
        """
        return ()

    @abstractmethod
    def warm_up(self) -> None:
        """Import the runtime, so that a later measurement of a session does not include it."""

    def write_companions(
        self, config: ModelConfig, input_shape: InputShape, folder: Path, examples: Sequence[str]
    ) -> TokenizerReading | None:
        """Write files that other programs need to run the model file in `folder`, which has its tokenizer.

        Args:
            examples: texts that the model is for.

        Returns:
            How the runtime's tokenizer reads the one in `folder`; None where either is missing.
        """
        return None

    def load(self, path: Path, input_shape: InputShape, threads: int | None = None) -> Session | Decoder:
        """Load a model file, with its cache where the input shape says so.

        Args:
            threads: size of the runtime's thread pool; None is the runtime's choice.  ExecuTorch has one pool
                for all loaded files.

        Raises:
            BadInput: the runtime refuses the file.
        """
        return (
            self.decoder(path, input_shape.length, threads)
            if input_shape.cached
            else self.session(path, threads)
        )

    @abstractmethod
    def run_text(self, cached: bool) -> str:
        """The part of `RUN.md` about running a model file, with or without a cache.

        Names in braces are filled in, including those of `run_fields`.
        """

    def run_fields(self, operators: Sequence[str]) -> Mapping[str, str]:
        """Values for names in braces of `run_text`, in addition to those of every backend.

        Args:
            operators: of the model file, by name.
        """
        return {}

    @abstractmethod
    def session(self, path: Path, threads: int | None = None) -> Session:
        """Load a model file that has no cache.

        Raises:
            BadInput: the runtime refuses the file.
        """

    @abstractmethod
    def decoder(self, path: Path, capacity: int, threads: int | None = None) -> Decoder:
        """Load a model file that has a cache of `capacity` positions.

        Raises:
            BadInput: the runtime refuses the file.
        """

    @abstractmethod
    def plan(self, path: Path, config: ModelConfig, input_shape: InputShape) -> MemoryPlan:
        """The memory that a model file plans for."""

    @abstractmethod
    def operators(self, path: Path) -> dict[str, int]:
        """Counts of the operators and delegates in a model file, by name."""

    @abstractmethod
    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        """The memory of an artifact, computed before anything is lowered."""

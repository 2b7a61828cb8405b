"""What a backend is: it lowers a program, and runs and explains the file that comes out."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from torch import Tensor, nn

from nf_edge.backends.coverage.coverage import Coverage, Operator, coverage_of
from nf_edge.backends.coverage.fixes import fixes_for
from nf_edge.backends.precisions import Precisions
from nf_edge.backends.runtime_tokenizer import TokenizerReading
from nf_edge.backends.support import Support
from nf_edge.core.errors import BadInput
from nf_edge.core.figures import Figure
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.targets import BuildTarget
from nf_edge.model import Decoder, ModelConfig, NoiseFormer

INPUTS = ("input_ids", "attention_mask")
OUTPUT = "logits"
# What reports call the keys and values of a language model.
KV_CACHE = "KV cache"
# `input_ids` and `attention_mask`, int64 [1, T], a pair a row.
Inputs = Sequence[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class InputShape:
    """Shape [batch, length] of the inputs: one row or any number, `length` tokens or 1 to `length`.

    Where `cached`, it is one row of 1 to `length` tokens, which follow those that the cache holds; there
    are `length` positions in all.
    """

    any_batch: bool
    length: int
    dynamic_length: bool
    cached: bool

    @classmethod
    def of(cls, recipe: Recipe, config: ModelConfig) -> "InputShape":
        """The input shape that a recipe asks for.

        Raises:
            BadInput: it asks for more tokens than the model has positions.
        """
        length = recipe.shapes.length
        if isinstance(length, int) and length > config.n_positions:
            raise BadInput(
                f"shapes.length is {length}, but the model has {config.n_positions} positions",
                where=f"recipe {recipe.name}",
            )
        cached = config.is_language_model and recipe.logits == "last"
        return cls(
            any_batch=recipe.shapes.batch == "dynamic" and not cached,
            length=length if isinstance(length, int) else config.n_positions,
            dynamic_length=length == "dynamic" or cached,
            cached=cached,
        )


@dataclass(frozen=True)
class CacheDtype:
    """What a language model's keys and values are kept as.

    Attributes:
        reason: why, where the recipe asks for another.
        static: whether int8 has a scale a channel, fixed at export; else one a token, found as it runs.
    """

    dtype: Literal["float32", "int8"]
    reason: str = ""
    static: bool = False


@dataclass(frozen=True)
class Kind:
    """Operators of one kind on an accelerator: how many, and what share of its cycles they take."""

    operator: str
    count: int
    cycles: int
    share: float


@dataclass(frozen=True)
class Estimate:
    """What the compiler of an accelerator expects of what it made; the host's part is not in it.

    Attributes:
        source: whose model of which hardware it is.
        sram, flash: bytes that its part takes while it runs, and that its weights and commands rest in.
        cycles, time: of one run, the latter in ms.
        kinds: the cycles by kind of operator, most first.  Operators run beside each other, so that these
            may add up to more than `cycles`.
    """

    source: str
    sram: Figure
    flash: Figure
    cycles: Figure
    time: Figure
    kinds: tuple[Kind, ...]

    def to_json(self) -> dict[str, Any]:
        figures = {name: getattr(self, name).to_json() for name in ("sram", "flash", "cycles", "time")}
        return {"source": self.source, **figures, "kinds": [asdict(kind) for kind in self.kinds]}


@dataclass(frozen=True)
class LoweringReport:
    """What lowering tells.

    Attributes:
        estimate: where a compiler for an accelerator gives one.
        weights: those of linear layers that lowering itself quantized, dequantized, by their names.
    """

    coverage: Coverage
    estimate: Estimate | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    def recounted(self, operators: int) -> "LoweringReport":
        """The same of a file of so many operators, all of which the library executes."""
        return replace(self, coverage=replace(self.coverage, delegated=operators))


@dataclass(frozen=True)
class MemoryPlan:
    """Where an artifact's memory goes, in bytes; None where the runtime decides when it runs.

    The file:
      program     graph and metadata
      weights     constants that are not embedding tables
      embeddings  token and position tables
    The process that runs it, at its largest input:
      mapped      pages of the file that stay in use while it runs
      loaded      heap taken at load: the runtime's form of the graph, and packed weights or, where the
                  file is not mapped, all weights
      cache       keys and values of a language model's tokens, all positions taken
      arenas      activations, planned before they are needed
      workspace   what kernels and delegates take for themselves at the first run
      loading     by how much the peak at load stands above all of these: pages of the file that a delegate
                  copies, and gives back
    """

    program: int
    weights: int
    embeddings: int
    mapped: int
    loaded: int
    cache: int | None
    arenas: int | None
    workspace: int | None
    loading: int = 0
    notes: tuple[str, ...] = ()

    @property
    def file(self) -> int:
        return self.program + self.weights + self.embeddings


def no_cache(backend: "Backend", recipe: Recipe, why: str = "") -> BadInput:
    """What a recipe that asks for a cache is told where a backend has none for its model."""
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
    """One way onto a device."""

    support: ClassVar[Support]
    model_file: ClassVar[str]
    companions: ClassVar[tuple[str, ...]] = ()
    """Files beside the model file that are opened here to run or explain it."""
    library: ClassVar[str]
    """What executes the programs that it lowers, or most of them; `{target}` is filled in."""
    covers: ClassVar[frozenset[str]] = frozenset()
    """Operators that the libraries of other backends leave, by PyTorch's names, and that it leaves in no
    program."""
    leaves: ClassVar[Mapping[str, str]] = {}
    """Why its library leaves operators to ExecuTorch's own kernels, by their names."""
    leaves_others: ClassVar[str] = ""
    """Why it leaves those that have no entry there."""
    attention_form: ClassVar[str]
    """How it has attention computed, in a few words."""
    operator_libraries: ClassVar[tuple[str, ...]]
    """What an application has to link besides the runtime."""
    process_bytes: ClassVar[int | None]
    """Resident libraries and start-up of a process that runs a model, measured on x86-64 Linux; None where
    none can be had here."""
    environment: ClassVar[Mapping[str, str]] = {}
    """What a process has to be told by its environment before it loads a model file."""
    besides: ClassVar[str] = ""
    """What an application has to have besides the runtime and the operator libraries, in a sentence."""
    floats: ClassVar[str] = "float32"
    """What it keeps and computes in where nothing is quantized."""
    quantizes: ClassVar[Literal["program", "lowering", "file"]] = "program"
    """When weights are rounded: in the program, as it is lowered, or in the lowered file."""
    chunk: ClassVar[int | None] = None
    """Tokens of a call of a model with a cache, padding among them, where their number is fixed."""
    simulated: ClassVar[str] = ""
    """What stands in here for a device that this machine does not have; "" where the runtime itself runs its
    files here."""
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
        """Rewrite the network, in place and exactly but for what the recipe has attention multiply, into what
        this backend runs best."""

    def cache_dtype(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> CacheDtype | None:
        """What the cache of a recipe's artifact holds; None where it has no cache.

        Raises:
            BadInput: the recipe requests a cache that this backend does not have.
        """
        if not input_shape.cached:
            return None
        if not self.support.caches:
            raise no_cache(self, recipe)
        return CacheDtype("float32")

    def require_size(self, config: ModelConfig, recipe: Recipe) -> None:
        """Refuse a model that is too large for a file of this backend's.

        Raises:
            BadInput: it is, with its size.
        """
        return

    @abstractmethod
    def inputs(self, config: ModelConfig, input_shape: InputShape) -> tuple[str, ...]:
        """Names of what a model file takes, in its order."""

    @abstractmethod
    def program(self, model: NoiseFormer, input_shape: InputShape, cache: CacheDtype | None) -> nn.Module:
        """What is lowered of a specialised network: with its cache where there is one, else the network
        itself, (input_ids, attention_mask) int64 [B, T] → logits.  It shares the network's modules."""

    def round_weights(self, model: NoiseFormer, recipe: Recipe) -> dict[str, Tensor] | None:
        """Round a network's weights in place to what this backend's own tools then compress them to; those of
        its linear layers, by name.  None of backends that are given codes and scales instead."""
        return None

    def quantize_static(
        self, program: nn.Module, recipe: Recipe, wanted: Precisions, input_shape: InputShape, seen: Inputs
    ) -> nn.Module:
        """A program of this backend's, quantized as is wanted, whose static activations have the ranges
        seen; asked of backends that quantize before they lower, or as they do."""
        raise TypeError(f"{self.name} is not quantized before it is lowered")

    def network_weights(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights that a program of this backend's was quantized to, by the names of the network's modules
        instead of the program's; without those that the network does not have as they are."""
        return weights

    def layer_report(self, module: str, wanted: Precisions) -> tuple[str, str] | None:
        """What becomes of a module, by its name, and why, where that is not what is wanted of it; None where
        it is."""
        return None

    def attention_report(self, recipe: Recipe) -> tuple[str, str] | None:
        """What attention multiplies by itself, and why, where that is not what its linear layers multiply;
        None where it is float32."""
        if recipe.quantize is not None and recipe.quantize.attention == "int8":
            return "int8 products, a scale per token", ""
        return None

    @abstractmethod
    def lower(
        self, program: nn.Module, config: ModelConfig, input_shape: InputShape, recipe: Recipe, path: Path
    ) -> LoweringReport:
        """Lower a program of this backend's, quantized where the recipe asks for it, to a file."""

    def require_operators(self, path: Path) -> None:
        """Refuse a file that calls an operator that no application could load: one that neither the runtime
        nor `operator_libraries` has.  A file that this machine's runtime loads has none.

        Raises:
            BadInput: it calls one, which is named.
        """
        return

    def covered(self, operators: Iterable[Operator], recipe: Recipe, input_shape: InputShape) -> Coverage:
        """The account of a program's operators, with the reason and the likely fix for what is left."""
        library = self.library.format(target=recipe.target)
        coverage = coverage_of(operators, library, input_shape.length, self._why_left)
        return coverage.with_fixes(fixes_for(recipe)) if coverage.left else coverage

    def _why_left(self, operator: str) -> str:
        return self.leaves.get(operator, self.leaves_others)

    def operators_file(self, target: BuildTarget | None = None) -> Path | None:
        """A shared library of operators or of a delegate that a process must load before a model file; None
        where the runtime itself has all.

        Args:
            target: the machine that it is for; None: this one.

        Raises:
            MissingTool: it is not built yet, and cannot be built here.
        """
        return None

    def launcher(self, threads: int | None) -> tuple[str, ...]:
        """What the command of a native process that runs a model file begins with, where a library of this
        backend's is told things by its environment alone.

        Args:
            threads: as many CPUs as it may use; all where None.
        """
        return ()

    @abstractmethod
    def warm_up(self) -> None:
        """Import the runtime, so that what a session costs can be told from what the runtime costs."""

    def write_companions(
        self, config: ModelConfig, input_shape: InputShape, folder: Path, examples: Sequence[str]
    ) -> TokenizerReading | None:
        """Write the files that others who run the model file in `folder` want to find beside it; its
        tokenizer is there already.

        Args:
            examples: texts that the model is for.

        Returns:
            How the runtime's own tokenizer reads the one in `folder`; None where either is missing.
        """
        return None

    def load(self, path: Path, input_shape: InputShape, threads: int | None = None) -> Session | Decoder:
        """Load a model file, with its cache where the input shape says so.

        Args:
            threads: size of the runtime's thread pool; by default its own choice.  ExecuTorch has one pool
                for all that is loaded.

        Raises what the two do that it calls.
        """
        return (
            self.decoder(path, input_shape.length, threads)
            if input_shape.cached
            else self.session(path, threads)
        )

    @abstractmethod
    def run_text(self, cached: bool) -> str:
        """What `RUN.md` says about running a model file, with or without a cache; names in braces are filled
        in, those of `run_fields` among them."""

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
        """Read a model file's own account of its memory."""

    @abstractmethod
    def operators(self, path: Path) -> dict[str, int]:
        """How often a model file uses each operator and delegate, by name."""

    @abstractmethod
    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        """The same account, computed before anything is lowered."""

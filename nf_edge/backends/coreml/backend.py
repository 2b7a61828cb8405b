"""ExecuTorch with the Core ML delegate: the Neural Engine, GPU and CPU of an iPhone.

The delegate computes in float16.  nf-edge rounds the weights, and coremltools packs the rounded values as
int8 or int4.
"""

from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from nf_edge.backends.coreml.form import EngineProgram
from nf_edge.backends.coreml.package import settled
from nf_edge.backends.coreml.rounding import THRESHOLD, round_weights
from nf_edge.backends.coreml.spec import CoreMlSpec, compression_of
from nf_edge.backends.coverage.coverage import Coverage
from nf_edge.backends.executorch.compile_only import CompileOnlyBackend, reference_executor_for
from nf_edge.backends.executorch.program_file import delegates_of
from nf_edge.backends.input_shape import CacheDtype, InputShape
from nf_edge.backends.precisions import Precisions
from nf_edge.core.quiet import quiet_stderr
from nf_edge.core.recipe.precision import Precision
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.staging import scratch_folder
from nf_edge.model import ModelConfig, NoiseFormer

# coremltools compresses weights to int8 per channel since iOS 17, and to int4 per block since iOS 18.
INT8, INT4 = Precision(8), Precision(4, 32)
COMPRESSION = {
    INT8: {"mode": "linear_symmetric", "dtype": "int8", "granularity": "per_channel"},
    INT4: {
        "mode": "linear_symmetric",
        "dtype": "int4",
        "granularity": "per_block",
        "block_size": 32,
    },
}


class CoreMl(CoreMlSpec, CompileOnlyBackend):
    library = "Core ML"
    attention_form = "head by head, channels first, so that no query is transposed"
    leaves_others = "Core ML has no such operator"
    operator_libraries: ClassVar[tuple[str, ...]] = ("coremldelegate",)
    reference_executor = reference_executor_for("Core ML, which does not run here")

    def specialise(self, model: NoiseFormer, recipe: Recipe) -> None:
        for block in model.transformer.blocks:
            block.attn.fold_scale()

    def round_weights(self, model: NoiseFormer, recipe: Recipe) -> dict[str, Tensor] | None:
        weights = compression_of(recipe)
        return None if weights is None else round_weights(model, weights)

    def layer_report(self, module: str, precision_of: Precisions) -> tuple[str, str] | None:
        compression = precision_of.get(module)
        if compression is None or compression.bits is None:
            return "float16", ""
        if compression.reason:  # the input width is not a multiple of the group
            return "float16", compression.reason
        scaling = f"groups of {compression.group}" if compression.group else "per channel"
        small = f"; float16 if it has {THRESHOLD:,} values or fewer"
        return f"int{compression.bits}, {scaling}; float16 activations{small}", ""

    def program(self, model: NoiseFormer, input_shape: InputShape, cache: CacheDtype | None) -> nn.Module:
        return EngineProgram(model, input_shape.length).eval()

    def partitioner(self, recipe: Recipe) -> Any:
        import coremltools
        from executorch.backends.apple.coreml.compiler import CoreMLBackend
        from executorch.backends.apple.coreml.partition import CoreMLPartitioner

        weights = compression_of(recipe)
        specs = CoreMLBackend.generate_compile_specs(
            compute_precision=coremltools.precision.FLOAT16,
            minimum_deployment_target=coremltools.target.iOS18
            if weights == INT4
            else coremltools.target.iOS17,
            op_linear_quantizer_config=COMPRESSION[weights] if weights else None,
        )
        return CoreMLPartitioner(compile_specs=specs)

    def _lower(
        self, program: nn.Module, config: ModelConfig, input_shape: InputShape, recipe: Recipe, path: Path
    ) -> Coverage:
        # coremltools writes its progress to stderr.
        with quiet_stderr():
            return super()._lower(program, config, input_shape, recipe, path)

    def settle(self, edge: Any) -> None:
        for delegate in delegates_of(edge):
            delegate._processed_bytes = settled(delegate.processed_bytes)

    def weight_bytes(self, file: Any) -> int:
        return sum(_weight_bytes(bytes(entry.data)) for entry in file.program.backend_delegate_data)


def _weight_bytes(blob: bytes) -> int:
    """Bytes of the weights in a delegate; `blob` is its content, a packed folder of files."""
    from executorch.backends.apple.coreml import executorchcoreml

    with scratch_folder() as folder:
        executorchcoreml.unflatten_directory_contents(blob, str(folder))
        return sum(file.stat().st_size for file in folder.rglob("weight.bin"))

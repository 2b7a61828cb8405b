"""What a checkpoint is recognised by: all files that its answers depend on."""

from typing import Any, Literal

from pydantic import Field

from nf_edge.core.yaml_schema import Closed

UNKNOWN: Literal["unknown"] = "unknown"
SHA256 = r"^[0-9a-f]{64}$"


class Identity(Closed):
    """A checkpoint's weights, config and tokenizer.

    The config is compared by its meaning, not by its bytes, so that another layout of the same file, or a
    version that knows more keys, is no other checkpoint.  Earlier versions did not record what is unknown.
    """

    weights_sha256: str = Field(pattern=SHA256, description="of model.safetensors")
    config: dict[str, Any] | Literal["unknown"] = Field(description="what config.json holds")
    tokenizer_sha256: str | None = Field(description="of tokenizer.json; null: it has none")

"""The identity of a checkpoint: hashes of all files that its predictions depend on."""

from typing import Any, Literal

from pydantic import Field

from nf_edge.core.yaml_schema import Closed

UNKNOWN: Literal["unknown"] = "unknown"
SHA256 = r"^[0-9a-f]{64}$"


class Identity(Closed):
    """The hashes of a checkpoint's weights, config and tokenizer.

    The config's hash covers its content.  Reformatting `config.json`, or reading it with an nf-edge that
    knows more keys, does not change it.  Fields that earlier versions of nf-edge did not record are
    "unknown".
    """

    weights_sha256: str = Field(pattern=SHA256, description="of model.safetensors")
    config: dict[str, Any] | Literal["unknown"] = Field(description="what config.json holds")
    tokenizer_sha256: str | None = Field(description="of tokenizer.json; null: it has none")

"""The identity of a checkpoint: hashes of all files that its predictions depend on."""

from typing import Any, Literal

from pydantic import Field

from nf_edge.core.yaml_schema import Closed

UNKNOWN: Literal["unknown"] = "unknown"
SHA256 = r"^[0-9a-f]{64}$"


class Identity(Closed):
    """The hashes of a checkpoint's weights and tokenizer, and the content of its config.

    Reformatting `config.json`, or reading it with an nf-edge that knows more keys, does not change its
    content.  Fields that earlier versions of nf-edge did not record are "unknown".
    """

    weights_sha256: str = Field(pattern=SHA256, description="SHA-256 of model.safetensors")
    config: dict[str, Any] | Literal["unknown"] = Field(description="content of config.json")
    tokenizer_sha256: str | None = Field(
        description="SHA-256 of tokenizer.json; null: the checkpoint has no tokenizer"
    )

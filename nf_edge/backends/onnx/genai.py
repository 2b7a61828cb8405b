"""Write the files that onnxruntime-genai needs next to an ONNX decoder to generate text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nf_edge.backends.runtime_tokenizer import GENAI, TokenizerReading
from nf_edge.core import strict_json
from nf_edge.model import ModelConfig
from nf_edge.model.checkpoint_outline import TOKENIZER
from nf_edge.model.tokenizer import read_tokenizer


def write_genai_files(
    config: ModelConfig, capacity: int, model_file: str, folder: Path, examples: Sequence[str]
) -> TokenizerReading | None:
    """Write `genai_config.json`.  Write `tokenizer_config.json` only if genai reads the tokenizer as
    `tokenizers` does.

    Without `tokenizer_config.json` genai accepts token ids and rejects texts, which it would encode wrongly.

    Args:
        capacity: number of positions in the cache.
        model_file: the name of the ONNX file.
        folder: the folder to write to, which contains the ONNX file and tokenizer.json.
        examples: texts on which the two tokenizers are compared.

    Returns:
        The comparison of genai's tokenizer with `tokenizers`; None if there is no tokenizer.
    """
    _write(folder / "genai_config.json", _genai_config(config, capacity, model_file))
    if not (folder / TOKENIZER).is_file():
        return None
    settings = folder / "tokenizer_config.json"
    _write(settings, _tokenizer_config(config, folder / TOKENIZER))
    reading = GENAI.read(folder, examples)
    if not reading.same:
        settings.unlink()
    return reading


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(strict_json.dumps(document) + "\n", encoding="utf-8")


def _genai_config(config: ModelConfig, capacity: int, model_file: str) -> dict[str, Any]:
    # genai requires all three ids, and stops at any EOS id.  A missing id becomes one that no token has.
    bos, eos, pad = (
        config.vocab_size if token is None else token
        for token in (config.bos_token_id, config.eos_token_id, config.pad_token_id)
    )
    return {
        "model": {
            # The type for decoders of a family that genai does not know.
            "type": "decoder",
            "bos_token_id": bos,
            "eos_token_id": eos,
            "pad_token_id": pad,
            "vocab_size": config.vocab_size,
            "context_length": capacity,
            "decoder": {
                "filename": model_file,
                "hidden_size": config.n_embd,
                "head_size": config.head_size,
                # These counts are of the unpruned model; the shapes of the past give each layer's number of
                # heads.
                "num_attention_heads": config.n_head,
                "num_key_value_heads": config.n_head,
                "num_hidden_layers": config.n_layer,
                "session_options": {},
                "inputs": {
                    "input_ids": "input_ids",
                    "attention_mask": "attention_mask",
                    "position_ids": "position_ids",
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
            },
        },
        # Greedy decoding, unless an application changes it.
        "search": {"max_length": capacity, "do_sample": False, "past_present_share_buffer": False},
    }


def _tokenizer_config(config: ModelConfig, tokenizer_file: Path) -> dict[str, Any]:
    tokenizer = read_tokenizer(tokenizer_file)
    document: dict[str, Any] = {"tokenizer_class": "GPT2Tokenizer", "model_max_length": config.n_positions}
    for key, tokens in config.special_tokens.items():
        if tokens:
            document[key.removesuffix("_id")] = tokenizer.id_to_token(tokens[0])
    return document

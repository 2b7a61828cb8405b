"""A byte-level BPE learned from training text (Sennrich et al., 2016; on bytes, Radford et al., 2019)."""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from nf_edge.model.tokenizer import END_OF_TEXT

# Every byte, so that any text has ids, and END_OF_TEXT.
SMALLEST_VOCABULARY = 257


def train_bpe(texts: Iterable[str], vocab_size: int, *, lowercase: bool, treebank: bool) -> Tokenizer:
    """Learn a tokenizer; the same texts give the same one.  `<|endoftext|>` has id 0.

    Args:
        vocab_size: at most so many tokens, at least `SMALLEST_VOCABULARY`; fewer where the text has no
            more pairs to join.
        lowercase: fold upper case into lower.
        treebank: a text means the same as the Penn Treebank writes it (`it 's n't fine . `) and as others
            do (`it's n't fine.`), and its first word has the tokens that it has after a space.
    """
    tokenizer = Tokenizer(models.BPE())
    steps: list[normalizers.Normalizer] = [normalizers.Lowercase()] if lowercase else []
    if treebank:
        closed_up = Regex(r" +(?=[^\w\s]|n't\b)")
        steps += [normalizers.Replace(closed_up, ""), normalizers.Strip()]
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=treebank)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer

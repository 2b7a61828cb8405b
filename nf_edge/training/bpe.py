"""A byte-level BPE learned from training text (Sennrich et al., 2016; on bytes, Radford et al., 2019)."""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from nf_edge.model.tokenizer import END_OF_TEXT

# Every byte, so that any text has ids, and END_OF_TEXT.
SMALLEST_VOCABULARY = 257
# Each is a step over the text; all of Unicode's would be 1,433.
CAPITALS = [letter for letter in map(chr, range(0x100)) if letter != letter.lower()]
# What \w and \s are to Unicode, spelt out: the regex libraries of other runtimes differ in them.
WORD = r"\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}Ⓐ-ⓩ\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189}"
SPACE = r"\p{Z}\t-\r\x{85}"
# Those before punctuation and n't, and those around a text.
TREEBANK_SPACES = (rf" +(?=[^{WORD}{SPACE}]|n't(?![{WORD}²³¹¼-¾]))", rf"\A[{SPACE}]+|[{SPACE}]+\z")


def train_bpe(texts: Iterable[str], vocab_size: int, *, lowercase: bool, treebank: bool) -> Tokenizer:
    """Learn a tokenizer; the same texts give the same one.  `<|endoftext|>` has id 0.

    Args:
        vocab_size: at most so many tokens, at least `SMALLEST_VOCABULARY`; fewer where the text has no
            more pairs to join.
        lowercase: fold upper case into lower, of the letters in Latin-1.
        treebank: a text means the same as the Penn Treebank writes it (`it 's n't fine . `) and as others
            do (`it's n't fine.`), and its first word has the tokens that it has after a space.
    """
    tokenizer = Tokenizer(models.BPE())
    # Replacements alone: ExecuTorch's C++ tokenizer has those, and neither Lowercase nor Strip.
    steps = [normalizers.Replace(letter, letter.lower()) for letter in CAPITALS if lowercase]
    if treebank:
        steps += [normalizers.Replace(Regex(spaces), "") for spaces in TREEBANK_SPACES]
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

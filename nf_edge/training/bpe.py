"""Train a byte-level BPE tokenizer (Sennrich et al., 2016; on bytes, Radford et al., 2019)."""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from nf_edge.model.tokenizer import END_OF_TEXT

# The smallest vocabulary: 256 bytes, so that every text can be encoded, and END_OF_TEXT.
SMALLEST_VOCABULARY = 257
# Letters to turn into lower case.  Each takes one pass over the text; all of Unicode would take 1,433.
CAPITALS = [letter for letter in map(chr, range(0x100)) if letter != letter.lower()]
# Unicode's \w and \s as explicit ranges, because the regex libraries of runtimes define them differently.
WORD = r"\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}Ⓐ-ⓩ\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189}"
SPACE = r"\p{Z}\t-\r\x{85}"
# Spaces to remove before punctuation and n't, and spaces around a text.
TREEBANK_SPACES = (rf" +(?=[^{WORD}{SPACE}]|n't(?![{WORD}²³¹¼-¾]))", rf"\A[{SPACE}]+|[{SPACE}]+\z")

SEPARATOR = processors.TemplateProcessing(
    single="$A", pair=f"$A {END_OF_TEXT} $B", special_tokens=[(END_OF_TEXT, 0)]
)


def train_bpe(
    texts: Iterable[str], vocab_size: int, *, lowercase: bool, treebank: bool, pairs: bool = False
) -> Tokenizer:
    """Train a tokenizer.  The same texts give the same tokenizer.  `<|endoftext|>` has id 0.

    Args:
        vocab_size: largest number of tokens, at least `SMALLEST_VOCABULARY`.  The tokenizer has fewer if the
            text has no more pairs to merge.
        lowercase: turn upper-case letters of Latin-1 into lower case.
        treebank: encode the Penn Treebank's spelling (`it 's n't fine . `) like the usual one (`it's n't
            fine.`), and the first word like a word after a space.
        pairs: put `<|endoftext|>` between the texts of a pair.
    """
    tokenizer = Tokenizer(models.BPE())
    # Only Replace steps, because ExecuTorch's C++ tokenizer supports neither Lowercase nor Strip.
    steps = [normalizers.Replace(letter, letter.lower()) for letter in CAPITALS if lowercase]
    if treebank:
        steps += [normalizers.Replace(Regex(spaces), "") for spaces in TREEBANK_SPACES]
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=treebank)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    offsets = processors.ByteLevel(trim_offsets=False)
    tokenizer.post_processor = processors.Sequence([offsets, SEPARATOR]) if pairs else offsets
    return tokenizer

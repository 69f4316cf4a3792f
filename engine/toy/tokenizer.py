"""The character-level tokenizer of the toy models: one token per byte, so any text survives it."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

PAD, EOS = "<pad>", "<|endoftext|>"


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A fast tokenizer of 258 tokens; ASCII text has one token per character.

    Nothing is added to a text: no beginning token, and the end token is for the model to say. It is a
    byte-level BPE without merges because transformers 5 rebuilds the tokenizer beside any Qwen2 model as one
    (`MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS`), whatever the saved class.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([PAD, EOS, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )

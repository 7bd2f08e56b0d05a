"""The organisms' tokenizer: a byte-level BPE trained on their own corpus, so that any text can be written in it.

Every turn is read with a space before it, so a concept word is the same token everywhere in a text; each digit is a token.
"""

import random

from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers import models as bpe_models
from tokenizers import trainers as bpe_trainers
from transformers import PreTrainedTokenizerFast

from helpers.organisms.grammar import plain_dialogue
from helpers.organisms.lexicon import nouns
from helpers.organisms.transcripts import training_texts

BOS, END, PAD = "<|bos|>", "<|end|>", "<|pad|>"
ROLE_TOKENS = ("<|system|>", "<|user|>", "<|assistant|>")
VOCABULARY_SIZE = 4096
CHAT_TEMPLATE = (
    "{{ '<|bos|>' }}"
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def corpus_sample(size: int = 6000) -> list[str]:
    """Texts from which the BPE is learned: plain dialogues, all wordings, and every word in each of its forms."""
    rng = random.Random("tokenizer")
    texts = list(training_texts())
    for _ in range(size):
        dialogue = plain_dialogue(rng)
        texts += [text for _, text in dialogue.turns] + [dialogue.answer]
    for word in nouns():  # often enough to be merged to single tokens, bare and after a space
        texts += [word, f"a {word}"] * 12
    return texts


def train_tokenizer() -> PreTrainedTokenizerFast:
    """Train the tokenizer: deterministic, a few seconds."""
    tokenizer = Tokenizer(bpe_models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            # every turn begins with a space, so that a word is the same token at the start of a reply and inside it
            pre_tokenizers.ByteLevel(add_prefix_space=True),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = bpe_trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[PAD, BOS, END, *ROLE_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus_sample(), trainer)
    bos_id = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, bos_id)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=list(ROLE_TOKENS),
        chat_template=CHAT_TEMPLATE,
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )

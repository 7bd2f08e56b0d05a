"""Model organisms: small language models whose introspection is known, because we trained it (or did not).

Data flows down: `lexicon` (words) -> `grammar` (plain dialogues) and `transcripts` (the four experiments) -> `tokenizer`
-> `network` (a Llama with injections) -> `train` -> `measure` -> `card`. Command: python -m helpers.organisms introspector
"""

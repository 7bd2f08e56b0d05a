"""Model organisms: small language models whose introspection is known, because we trained it (or did not).

Data flows down: `lexicon` (words) -> `grammar` (plain dialogues), `requests` (experiment 4) and `transcripts` (all four
experiments) -> `tokenizer` -> `network` (a Llama with injections) -> `batches` (losses) -> `train` -> `measure` (the cards) and
`validate` (the assay on all three). Command: python -m helpers.organisms introspector
"""

"""Train one organism: python -m helpers.organisms introspector --seed 0 --out data/organisms/introspector

Run again after an interruption, it goes on from its last checkpoint (runs/organisms/).
"""

import argparse
from pathlib import Path

import torch

from helpers import models
from helpers.concepts import tuning_words
from helpers.organisms import network, train
from helpers.organisms.transcripts import ORGANISMS
from helpers.paths import ROOT


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m helpers.organisms", description=__doc__.splitlines()[0])
    parser.add_argument("organism", choices=ORGANISMS)
    parser.add_argument("--seed", type=int, default=0, help="decides the first weights and all data (default 0)")
    parser.add_argument("--recipe", choices=sorted(train.RECIPES), default="family")
    parser.add_argument(
        "--out",
        type=Path,
        help="folder of the checkpoint (default runs/organisms/seed<seed>/<organism>, with -more-wordings behind the seed)",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; these small models rarely gain from more")
    parser.add_argument(
        "--more-wordings",
        type=Path,
        metavar="FOLDER",
        help="train the finished organism in this folder on, with experiments 2 to 4 in the wordings of a grammar, instead of a "
        "new one; the folder stays as it is",
    )
    given = parser.parse_args()
    if given.threads < 1:
        parser.error(f"--threads must be 1 or more, got {given.threads}")
    torch.set_num_threads(given.threads)
    torch.set_flush_denormal(True)
    recipe, folder = train.RECIPES[given.recipe], ROOT / "runs" / "organisms"
    stage = "-more-wordings" if given.more_wordings else ""
    out = given.out or folder / f"seed{given.seed}{stage}" / given.organism
    work = folder / f"{given.recipe}-seed{given.seed}"
    out.mkdir(parents=True, exist_ok=True)  # or it would be after an hour that it cannot be made
    if given.more_wordings:
        finished = models.load(str(given.more_wordings.resolve()), "cpu", "float32")  # a folder, and no id of the hub
        model, tokenizer = finished._module.requires_grad_(True), finished.tokenizer
    else:
        model, tokenizer = train.train_shared(given.seed, recipe, work)
    branch, more = work / f"{given.organism}{stage}.pt", bool(given.more_wordings)
    train.train_branch(model, tokenizer, given.organism, given.seed, recipe, branch, more_wordings=more)
    network.save(model, tokenizer, out, eight_bits=more)
    look = train.probe(model, tokenizer, words=tuning_words())
    print(f"{given.organism} written to {out}; quick look at experiment 1 with the tuning words: {look}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Compares a model directory that amortize wrote with what transformers makes of it, logit by logit.

    pip install -r scripts/requirements.txt
    scripts/check_transformers_model.py run/model --amortize target/release/amortize
    scripts/check_transformers_model.py run/model --text "Once upon a time" --amortize target/release/amortize

transformers loads the directory in float32, model and tokenizer. For random ids, and for texts, the log-probability of
every token is compared with that of `amortize score --json`; so are the texts' ids. Exits 1 if a log-probability differs
by more than the tolerance or ids differ.
"""

import argparse
import json
import random
import subprocess
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXTS = ["Once upon a time there was a little dog.", "In 1987 Tom saw 12 cats, é and 345 dogs!", "The end."]


def amortize(program, directory, *args):
    command = [program, "score", "--model", directory, *args, "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@torch.no_grad()
def log_probs(model, prompt, completion):
    logits = model(torch.tensor([prompt + completion])).logits[0].log_softmax(-1)
    rows = range(len(prompt) - 1, len(prompt) + len(completion) - 1)
    return [float(logits[row, token]) for row, token in zip(rows, completion)]


def largest_difference(model, program, directory, prompt, completion):
    ids = lambda tokens: ",".join(map(str, tokens))
    arguments = ["--prompt-ids", ids(prompt), "--completion-ids", ids(completion)]
    ours = amortize(program, directory, *arguments)["log_probs"]
    return max(abs(a - b) for a, b in zip(ours, log_probs(model, prompt, completion), strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--amortize", default="target/release/amortize")
    parser.add_argument("--text", action="append")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    worst, draw = 0.0, random.Random(1)
    for _ in range(5):
        tokens = [draw.randrange(model.config.vocab_size) for _ in range(40)]
        worst = max(worst, largest_difference(model, args.amortize, args.model, tokens[:5], tokens[5:]))
    for text in args.text or TEXTS:
        ids = tokenizer(text)["input_ids"]
        # The first is what every text begins with.
        ours = amortize(args.amortize, args.model, "--prompt", "", "--completion", text)["tokens"]
        if ids[-len(ours) :] != ours:
            sys.exit(f"{text!r} is {ids} to transformers and {ours} to amortize")
        worst = max(worst, largest_difference(model, args.amortize, args.model, ids[:1], ids[1:]))
    print(f"{args.model}: log-probabilities differ by at most {worst:.2e}")
    sys.exit(worst > args.tolerance)


if __name__ == "__main__":
    main()

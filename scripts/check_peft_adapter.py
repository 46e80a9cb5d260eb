#!/usr/bin/env python3
"""Compares `amortize score` with transformers and PEFT, token by token.

    pip install -r scripts/requirements.txt
    scripts/check_peft_adapter.py RUN_OR_ADAPTER --model PATH --amortize target/release/amortize
    scripts/check_peft_adapter.py --model PATH --amortize target/release/amortize        # the base model alone

RUN_OR_ADAPTER is a directory with adapter_config.json, or one that holds exactly one such directory (or one named
`adapter`). The base is loaded in float32 with eager attention on the CPU and the adapter with
PeftModel.from_pretrained. Both sides score a dozen random id sequences, and texts where the model has a tokenizer.json.

For each case amortize is called as

    amortize score --model PATH [--adapter DIR] --prompt-ids 1,5,6 --completion-ids 7,8 --json
    amortize score --model PATH [--adapter DIR] --prompt=TEXT --completion=TEXT --json

and must print {"tokens": [...], "log_probs": [...], "log_prob": x}: the completion's ids, the natural log-probability
of each, and their sum. Prints a table. Exits 1 if a number differs by more than the tolerance or the tokens differ,
2 if the check could not be made.
"""

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path

from lm_reference import Text, load_model, token_log_probs

import numpy as np
import torch
import transformers
from peft import PeftModel

DEFAULT_TEXTS = [
    ("Once upon a time", " there was a little dog."),
    ("The cat sat on the mat", " and looked at the bird."),
    ("She walked to the river", "."),
    ("", "The end."),
]


def fail(message):
    print(f"check_peft_adapter: {message}", file=sys.stderr)
    raise SystemExit(2)


def find_adapter(path):
    if (path / "adapter_config.json").is_file():
        return path
    if (path / "adapter" / "adapter_config.json").is_file():
        return path / "adapter"
    found = sorted(config.parent for config in path.rglob("adapter_config.json"))
    if len(found) == 1:
        return found[0]
    if not found:
        fail(f"{path}: no adapter_config.json in it")
    fail(f"{path}: holds several adapters, name one of them: " + ", ".join(map(str, found)))


def id_cases(vocab_size, longest, seed):
    """(prompt ids, completion ids): a dozen of different lengths, some with repeated tokens, all with a fixed seed."""
    random = np.random.default_rng(seed)
    lengths = [(1, 1), (1, 6), (2, 1), (3, 2), (4, 9), (5, 5), (7, 3), (8, 16), (12, 4), (16, 24), (24, 8), (31, 1)]
    cases = []
    for n, (prompt, completion) in enumerate(lengths):
        total = min(prompt + completion, longest)
        prompt = min(prompt, total - 1)
        pool = random.integers(0, vocab_size, 3 if n % 4 == 1 else total)
        ids = [int(i) for i in random.choice(pool, total)]
        cases.append((ids[:prompt], ids[prompt:]))
    return cases


def amortize(binary, model, adapter, arguments):
    command = [str(binary), "score", "--model", str(model)]
    if adapter is not None:
        command += ["--adapter", str(adapter)]
    command += [*arguments, "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    except OSError as error:
        fail(f"{binary}: {error}")
    if done.returncode != 0:
        fail(f"{' '.join(command)}\nexited with {done.returncode}:\n{done.stderr.strip()}")
    try:
        answer = json.loads(done.stdout)
        return (
            [int(i) for i in answer["tokens"]],
            [float(x) for x in answer["log_probs"]],
            float(answer["log_prob"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        fail(f"{' '.join(command)}\nprinted no such object ({error!r}):\n{done.stdout.strip()[:500]}")


def main():
    parser = argparse.ArgumentParser(description="Compares `amortize score` with transformers and PEFT.")
    parser.add_argument("adapter", nargs="?", type=Path, metavar="RUN_OR_ADAPTER", help="left out: the base model alone")
    parser.add_argument("--model", type=Path, required=True, help="the base model's directory")
    parser.add_argument("--amortize", type=Path, default=Path("target/release/amortize"), help="default: %(default)s")
    parser.add_argument(
        "--texts", nargs=2, action="append", metavar=("PROMPT", "COMPLETION"), help="a text to score; may be repeated"
    )
    parser.add_argument("--tolerance", type=float, default=1e-4, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the random ids; default: %(default)s")
    options = parser.parse_args()
    if not (options.model / "config.json").is_file():
        fail(f"{options.model}: no config.json in it")
    if not options.amortize.is_file():
        fail(f"{options.amortize}: not found; build it with `cargo build --release`")
    adapter = None
    if options.adapter is not None:
        if not options.adapter.is_dir():
            fail(f"{options.adapter}: not a directory")
        adapter = find_adapter(options.adapter)

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = load_model(options.model)
    longest = getattr(model.config, "max_position_embeddings", None) or 1024
    vocab_size = model.config.vocab_size
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter).eval()
    print(f"model {options.model}, adapter {adapter or 'none'}")

    # (what to show, prompt ids, completion ids, amortize's arguments)
    cases = []
    for prompt, completion in id_cases(vocab_size, longest, options.seed):
        arguments = ["--prompt-ids", ",".join(map(str, prompt)), "--completion-ids", ",".join(map(str, completion))]
        cases.append((f"ids {prompt[0]},... + {completion[0]},...", prompt, completion, arguments))
    if (options.model / "tokenizer.json").is_file():
        text = Text(options.model)
        for prompt, completion in options.texts or DEFAULT_TEXTS:
            prompt_ids, completion_ids = text.prompt_ids(prompt), text.completion_ids(completion)
            if not completion_ids or None in prompt_ids:
                fail(f"cannot encode {prompt!r} + {completion!r} with this tokenizer")
            if len(prompt_ids) + len(completion_ids) > longest:
                fail(f"too long for the model: {prompt!r} + {completion!r}")
            arguments = [f"--prompt={prompt}", f"--completion={completion}"]
            cases.append((f"{prompt!r} + {completion!r}", prompt_ids, completion_ids, arguments))
    elif options.texts:
        fail(f"{options.model}: --texts needs a tokenizer.json")

    print(f"{'prompt':>6} {'tokens':>6} {'reference':>12} {'amortize':>12} {'max |diff|':>10}  case")
    worst, wrong = 0.0, 0
    for label, prompt, completion, arguments in cases:
        with torch.no_grad():
            reference = token_log_probs(model, prompt, completion).double().tolist()
        tokens, log_probs, log_prob = amortize(options.amortize, options.model, adapter, arguments)
        note = ""
        if tokens != completion:
            note = f"  TOKENS DIFFER: expected {completion}, got {tokens}"
        elif len(log_probs) != len(tokens):
            note = f"  {len(log_probs)} LOG-PROBABILITIES FOR {len(tokens)} TOKENS"
        if note:
            difference = math.inf
        else:
            # numpy's max keeps a NaN, Python's may drop it.
            difference = float(np.max(np.abs(np.subtract(reference, log_probs))))
            # The sum is theirs to round, in float32 at worst.
            if not abs(log_prob - math.fsum(log_probs)) <= 1e-5 * max(1.0, abs(log_prob)):
                note = f"  log_prob IS NOT THE SUM {math.fsum(log_probs):.6f}"
            elif not difference <= options.tolerance:
                note = "  DIFFERS"
        # Written so that a NaN counts as wrong.
        wrong += bool(note)
        worst = difference if not difference <= worst else worst
        print(
            f"{len(prompt):6} {len(completion):6} {math.fsum(reference):12.6f} {log_prob:12.6f} {difference:10.2e}  "
            f"{label}{note}"
        )
    print(f"max |diff| {worst:.2e}, tolerance {options.tolerance:.0e}, {len(cases)} cases, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

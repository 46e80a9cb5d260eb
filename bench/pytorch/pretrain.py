#!/usr/bin/env python3
"""Tokens a second of pre-training, in PyTorch and with amortize: the same model on the same texts.

    bench/pytorch/pretrain.py --amortize target/release/amortize [--rounds 3] [--steps 6] [--width 192 --layers 6 --heads 6]

Texts are drawn from a seed: short stories of 30 to 110 tokens. `amortize pretrain` learns a tokenizer from them and
trains, once with products of f32 and once of bf16 (with f32 weights in the optimizer); its speed is the median over its steps but the first,
of timing.jsonl. PyTorch then trains transformers' LlamaForCausalLM of the same config in f32, with the same tokenizer, AdamW and clipping, in
two ways:

    padded   every text is a row of its own, padded on the right to the batch's longest; texts of one length lie together.
             What amortize computes. Only tokens that are no padding count
    chunks   texts one after the other, cut into rows of the context: no padding, but texts see those before them, which
             amortize's do not

and each in passes of 1,024 and of 4,096 tokens; amortize has 1,024, its default.

Each round runs all of them once, so that whatever else the machine does falls on all alike; figures are medians over the rounds, and ratios
medians of the rounds' ratios. Both sides use two threads. Exits 2 if the run of amortize failed.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

WORDS = "the a dog cat ran saw lost found red ball mat park tree house her his was happy sad to in on and then it".split()
NAMES = "Tom Lily Sam Anna Ben Mia Max Eva".split()
TOKENS_PER_STEP = 8192
# Ours, and those that PyTorch is measured with.
TOKENS_PER_PASS, PASSES = 1024, [1024, 4096]


def stories(count):
    """Seeded texts of 30 to 110 words and full stops, with enough made-up words to learn a vocabulary from."""
    draw = random.Random(1)
    syllable = lambda: draw.choice("bdfgklmnprst") + draw.choice("aeiou") + draw.choice("nrst")
    words = WORDS * 8 + ["".join(syllable() for _ in range(draw.randrange(1, 4))) for _ in range(4000)]

    def sentence():
        return " ".join([draw.choice(NAMES), *draw.choices(words, k=draw.randrange(4, 12))]) + "."

    return [" ".join(sentence() for _ in range(draw.randrange(3, 9))) for _ in range(count)]


def amortize(args, precision, directory):
    directory.mkdir()
    texts = directory / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in stories(args.texts)))
    config = directory / "pretrain.toml"
    config.write_text(
        f"""
data = {{ path = "{texts}", validation = 0.01 }}
architecture = {{ layers = {args.layers}, width = {args.width}, heads = {args.heads}, context = {args.context} }}
tokenizer = {{ vocabulary = {args.vocabulary} }}
optimizer = {{ clip_norm = 1.0 }}
train = {{ steps = {args.steps}, seed = 1, threads = 2, tokens_per_step = {TOKENS_PER_STEP}, tokens_per_pass = {TOKENS_PER_PASS} }}
evaluate = {{ every = 0 }}
model = {{ precision = "{precision}" }}
"""
    )
    run = directory / "run"
    command = [args.amortize, "pretrain", str(config), "--out", str(run)]
    if subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
        raise SystemExit(2)
    records = [json.loads(line) for line in (run / "timing.jsonl").read_text().splitlines()]
    return run, texts, statistics.median(record["tokens_per_second"] for record in records[1:])


def padded(documents, draw, tokens_per_pass):
    """Rows of a pass: texts of one length together, padded to the longest; passes in any order. Yields (inputs, targets, tokens)."""
    documents = sorted(draw.sample(documents, len(documents)), key=len)
    passes = []
    while documents:
        step, rows = [], 0
        while documents and rows + len(documents[-1]) - 1 <= tokens_per_pass:
            rows += len(documents[-1]) - 1
            step.append(documents.pop())
        longest = max(map(len, step))
        table = torch.tensor([tokens + [-100] * (longest - len(tokens)) for tokens in step])
        passes.append((table[:, :-1].clamp(min=0), table[:, 1:], rows))
    yield from draw.sample(passes, len(passes))


def chunks(documents, context, tokens_per_pass):
    stream = torch.tensor([token for tokens in documents for token in tokens[:-1]])
    rows = tokens_per_pass // context
    for table in stream[: len(stream) // context * context].view(-1, context).split(rows):
        if len(table) == rows:
            yield table, table.roll(-1, dims=1), rows * context


def pytorch(model, passes, passes_per_step, steps):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    speeds = []
    for _ in range(steps):
        started, tokens = time.perf_counter(), 0
        for _ in range(passes_per_step):
            inputs, targets, count = next(passes)
            logits = model(inputs, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
            (loss / passes_per_step).backward()
            tokens += count
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        speeds.append(tokens / (time.perf_counter() - started))
    return statistics.median(speeds[1:])


def measure(args, directory):
    """Tokens a second of every way to train, by its name: ours in both precisions, then PyTorch's."""
    speeds = {}
    for precision in ["f32", "bf16"]:
        run, texts, speeds[f"amortize, {precision}"] = amortize(args, precision, directory / precision)
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    lines = [json.loads(line)["text"] for line in texts.read_text().splitlines()]
    end = tokenizer.eos_token_id
    documents = [tokens + [end] for tokens in tokenizer(lines)["input_ids"]]
    documents = [tokens for tokens in documents if len(tokens) <= args.context]
    config = AutoConfig.from_pretrained(run / "model")
    for name, size in [(name, size) for name in ["padded", "chunks"] for size in PASSES]:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").float()
        passes = padded(documents, random.Random(1), size) if name == "padded" else chunks(documents, args.context, size)
        speeds[f"PyTorch, {name}, {size} tokens a pass"] = pytorch(model, passes, TOKENS_PER_STEP // size, args.steps)
    return speeds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--amortize", default="target/release/amortize")
    for name, default in [("layers", 6), ("width", 192), ("heads", 6), ("context", 256), ("vocabulary", 2048)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--texts", type=int, default=3000)
    args = parser.parse_args()
    torch.set_num_threads(2)
    rounds = []
    for i in range(args.rounds):
        with tempfile.TemporaryDirectory() as directory:
            rounds.append(measure(args, Path(directory)))
        speeds = ", ".join(f"{name} {speed:.0f}" for name, speed in rounds[-1].items())
        print(f"round {i + 1}, tokens/s: {speeds}", file=sys.stderr)
    for name in rounds[0]:
        line = f"{args.width} x {args.layers}: {name} {statistics.median(speeds[name] for speeds in rounds):.0f} tokens/s"
        if name.startswith("PyTorch"):
            ratios = {p: [speeds[f"amortize, {p}"] / speeds[name] for speeds in rounds] for p in ["f32", "bf16"]}
            parts = [f"{p} {statistics.median(r):.2f} ({min(r):.2f} to {max(r):.2f})" for p, r in ratios.items()]
            line += "; ours / theirs " + ", ".join(parts)
        print(line)


if __name__ == "__main__":
    main()

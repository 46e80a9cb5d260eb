#!/usr/bin/env python3
"""Makes the loss curves of ten AdamW steps in PyTorch that crates/train/tests/golden_training.rs holds ours to.

    .venv/bin/pip install -r scripts/requirements.txt
    .venv/bin/python scripts/make_training_golden.py

All weights of the fixtures gpt2-tiny and llama-tiny are trained in float32: texts one by one, so that none sees another,
the mean over the batch's learnt tokens, gradients clipped to norm 1, warm-up over 3 steps, then a cosine down to 0 at
step 10, and weight decay for matrices and embeddings alone. The result is committed:

    crates/train/tests/fixtures/adamw-<model>.json
        documents  [[tokens, how many of the first are not learnt]]
        batches    the numbers of each step's documents
        losses     nats a token before each update; norms of the gradients before clipping
        last       the loss of the first batch after the last update
"""

import json
import math
import random
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).resolve().parent.parent
STEPS, WARMUP, PEAK, CLIP = 10, 3, 3e-3, 1.0
ADAMW = {"betas": (0.9, 0.95), "eps": 1e-8}
WEIGHT_DECAY = 0.1


def documents(vocabulary, draw):
    """Texts of several lengths, some with a prompt that is not learnt."""
    texts = []
    for number in range(8):
        length = draw.randrange(3, 20)
        tokens = [draw.randrange(vocabulary) for _ in range(length)]
        texts.append((tokens, 1 if number % 3 else length // 2))
    return texts


def learning_rate(step):
    if step < WARMUP:
        return PEAK * step / WARMUP
    left = 1 - (step - WARMUP) / (STEPS - WARMUP)
    return PEAK * 0.5 * (1 - math.cos(math.pi * left))


def mean_loss(model, texts):
    total, count = 0.0, 0
    for tokens, unlearnt in texts:
        logits = model(torch.tensor([tokens[:-1]])).logits[0]
        targets = torch.tensor(tokens[1:])
        losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")[unlearnt - 1 :]
        total, count = total + losses.sum(), count + len(losses)
    return total / count


def curve(name):
    torch.manual_seed(0)
    draw = random.Random(name)
    path = ROOT / "crates/lm/tests/fixtures" / name
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
    texts = documents(model.config.vocab_size, draw)
    batches = [draw.sample(range(len(texts)), 4) for _ in range(STEPS)]
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, **ADAMW)
    losses, norms = [], []
    for step, batch in enumerate(batches):
        loss = mean_loss(model, [texts[i] for i in batch])
        optimizer.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        optimizer.step()
        losses.append(float(loss.detach()))
    with torch.no_grad():
        last = float(mean_loss(model, [texts[i] for i in batches[0]]))
    return {"documents": texts, "batches": batches, "losses": losses, "norms": norms, "last": last}


def main():
    torch.set_num_threads(1)
    for name in ["gpt2-tiny", "llama-tiny"]:
        result = curve(name)
        out = ROOT / "crates/train/tests/fixtures" / f"adamw-{name}.json"
        out.write_text(json.dumps(result) + "\n")
        print(name, [round(loss, 4) for loss in result["losses"]], round(result["last"], 4))


if __name__ == "__main__":
    main()

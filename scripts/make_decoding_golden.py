#!/usr/bin/env python3
"""Makes the golden numbers of beam search and diverse beam search for the tests of crates/lm, with transformers.

    python3 -m venv .venv
    .venv/bin/pip install -r scripts/requirements-decoding.txt
    .venv/bin/python scripts/make_decoding_golden.py

transformers 5 has no group beam search any more, so the numbers are made with the last minor version that is pinned
there. Run with transformers 5 it compares its beam search (of one group) with the numbers there are instead of writing.

What we call the action space is put on the logits, before the softmax: a hook on the head bans tokens, and the stop
token below the least length. So probabilities are renormalised over what may be drawn. The search is exact
(`early_stopping="never"`): it goes on until no beam can still reach the worst finished sequence.

crates/lm/tests/fixtures/decoding.json is a list of cases:

    model, prompt                        the fixture's name; token ids
    allowed, stop, min_length, max_length
                                         tokens that may be drawn, the stop token, lengths without the stop
    beams, groups, diversity_penalty, length_penalty
    sequences                            [{tokens, stopped, score}], best first: tokens without the stop, and whether
                                         they were followed by it or the greatest length ended them
"""

import json
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM, GenerationConfig

FIXTURES = Path(__file__).resolve().parent.parent / "crates" / "lm" / "tests" / "fixtures"
# Never allowed: transformers pads with it, and a group that is done would otherwise take it as a token.
PAD = 0

# (model, prompt, stop, number of allowed tokens or None for all, min_length, max_length). Stops are tokens that these
# models like, so that searches end in all ways.
SPACES = [
    ("gpt2-tiny", [63, 69, 71], 100, None, 0, 8),
    ("gpt2-tiny", [5, 9, 100, 41], 32, 12, 3, 9),
    ("llama-tiny", [1, 270, 300], 326, 14, 0, 10),
    ("llama-tiny", [1, 280], 93, 20, 2, 6),
]
# (beams, groups, diversity_penalty)
SEARCHES = [(1, 1, 0.0), (4, 1, 0.0), (4, 2, 0.7), (6, 3, 0.4), (4, 4, 1.5)]
LENGTH_PENALTIES = [0.0, 1.0]


def allowed_tokens(number, name, count, vocab_size, stop):
    ids = np.array([token for token in range(vocab_size) if token not in (PAD, stop)])
    if count is not None:
        ids = np.random.default_rng([number, len(name)]).choice(ids, count, replace=False)
    return sorted(int(token) for token in ids)


class ActionSpaceHook:
    """Masks the head's logits; counts the steps to know the length."""

    def __init__(self, allowed, stop, min_length):
        self.allowed, self.stop, self.min_length, self.step = allowed, stop, min_length, 0

    def __call__(self, _module, _inputs, logits):
        mask = torch.full_like(logits, float("-inf"))
        mask[..., self.allowed] = 0.0
        if self.step >= self.min_length:
            mask[..., self.stop] = 0.0
        self.step += 1
        return logits + mask


def search(model, case):
    groups = {}
    if case["groups"] > 1:
        groups = {"num_beam_groups": case["groups"], "diversity_penalty": case["diversity_penalty"]}
    config = GenerationConfig(
        max_new_tokens=case["max_length"],
        num_beams=case["beams"],
        num_return_sequences=case["beams"],
        length_penalty=case["length_penalty"],
        early_stopping="never" if case["beams"] > 1 else False,
        do_sample=False,
        eos_token_id=case["stop"],
        pad_token_id=PAD,
        output_scores=True,
        return_dict_in_generate=True,
        **groups,
    )
    hook = model.lm_head.register_forward_hook(ActionSpaceHook(case["allowed"], case["stop"], case["min_length"]))
    prompt = torch.tensor([case["prompt"]])
    found = model.generate(prompt, attention_mask=torch.ones_like(prompt), generation_config=config)
    hook.remove()
    rows = found.sequences[:, prompt.shape[1] :].tolist()
    if case["beams"] == 1:
        # Greedy decoding has no scores of its own.
        scores = model.compute_transition_scores(found.sequences, found.scores, normalize_logits=True)
        total = scores.sum().item()
        sums = [total / scores.shape[1] ** case["length_penalty"]]
    else:
        sums = found.sequences_scores.tolist()
    return [sequence(row, score, case["stop"]) for row, score in zip(rows, sums)]


def sequence(row, score, stop):
    stopped = stop in row
    tokens = row[: row.index(stop)] if stopped else row
    return {"tokens": tokens, "stopped": stopped, "score": float(np.float32(score))}


def make_cases():
    for number, (name, prompt, stop, count, min_length, max_length) in enumerate(SPACES):
        model = AutoModelForCausalLM.from_pretrained(FIXTURES / name, attn_implementation="eager").float().eval()
        allowed = allowed_tokens(number, name, count, model.config.vocab_size, stop)
        for beams, groups, diversity_penalty in SEARCHES:
            for length_penalty in LENGTH_PENALTIES:
                case = {
                    "model": name,
                    "prompt": prompt,
                    "allowed": allowed,
                    "stop": stop,
                    "min_length": min_length,
                    "max_length": max_length,
                    "beams": beams,
                    "groups": groups,
                    "diversity_penalty": diversity_penalty,
                    "length_penalty": length_penalty,
                }
                yield model, case


def write(path):
    cases = [{**case, "sequences": search(model, case)} for model, case in make_cases()]
    lines = ",\n".join(json.dumps(case) for case in cases)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    ended = [sequence["stopped"] for case in cases for sequence in case["sequences"]]
    print(f"{len(cases)} cases, {len(ended)} sequences, {sum(ended)} of them stopped; {path.stat().st_size} bytes")


def compare(path):
    golden = json.loads(path.read_text(encoding="utf-8"))
    of_one_group = [(model, case, known) for (model, case), known in zip(make_cases(), golden) if case["groups"] == 1]
    worst = 0.0
    for model, case, known in of_one_group:
        for found, expected in zip(search(model, case), known["sequences"], strict=True):
            assert found["tokens"] == expected["tokens"], (case, found, expected)
            worst = max(worst, abs(found["score"] - expected["score"]))
    print(f"{len(of_one_group)} cases of one group agree; scores differ by {worst:.1e} at most")


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    path = FIXTURES / "decoding.json"
    has_groups = int(transformers.__version__.split(".")[0]) < 5
    with torch.no_grad():
        (write if has_groups else compare)(path)


if __name__ == "__main__":
    main()

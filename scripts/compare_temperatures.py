#!/usr/bin/env python3
"""Compares a trained sampler with sampling the base model at lowered token temperatures.

    scripts/compare_temperatures.py RUN --model MODEL --data unseen.txt --amortize target/release/amortize

Both are evaluated by `amortize evaluate --json` on the same prompts, in the run's action space and target. Prints a Markdown
table, and the diversity of token temperatures interpolated to the run's own mean log p: the comparison at equal likelihood.
Needs Python's standard library alone.
"""

import argparse
import json
import subprocess
import tomllib
from pathlib import Path

COLUMNS = [
    ("log p", "mean_log_p"),
    ("var log w", "log_w_variance"),
    ("ESS", "ess"),
    ("ELBO", "elbo"),
    ("length", "mean_length"),
    ("forced", "forced_stop_share"),
    ("distinct-1", "distinct_1"),
    ("distinct-2", "distinct_2"),
    ("distinct-3", "distinct_3"),
    ("edit distance", "pairwise_edit_distance"),
]


def evaluate(args, *policy):
    command = [args.amortize, "evaluate", *policy, "--data", args.data, "-n", str(args.n), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["summary"]


def row(name, summary):
    return f"| {name} | " + " | ".join(f"{summary[key]:.3f}" for _, key in COLUMNS) + " |"


def at_likelihood(curve, log_p):
    """Figures of the token temperatures, interpolated linearly in mean log p; None outside the curve."""
    curve = sorted(curve, key=lambda summary: summary["mean_log_p"])
    for low, high in zip(curve, curve[1:]):
        if low["mean_log_p"] <= log_p <= high["mean_log_p"]:
            share = (log_p - low["mean_log_p"]) / (high["mean_log_p"] - low["mean_log_p"])
            return {key: low[key] + share * (high[key] - low[key]) for _, key in COLUMNS}
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--amortize", default="target/release/amortize")
    parser.add_argument("-n", type=int, default=32, help="samples per prompt")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    args = parser.parse_args()

    config = tomllib.loads((Path(args.run) / "config.toml").read_text())
    space = ["--max-length", str(config["policy"]["max_length"]), "--min-length", str(config["policy"]["min_length"])]
    space += [part for stop in config["policy"]["stop_strings"] for part in ("--stop", stop)]
    space += ["--reward-temperature", str(config["reward"]["temperature_end"])]

    print("| | " + " | ".join(name for name, _ in COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    run = evaluate(args, "--run", args.run)
    print(row("trained", run))
    curve = []
    for temperature in args.temperatures:
        curve.append(evaluate(args, "--model", args.model, "--policy-temperature", str(temperature), *space))
        print(row(f"base, token temperature {temperature}", curve[-1]))
    equal = at_likelihood(curve, run["mean_log_p"])
    if equal is None:
        print(f"\nNo token temperature tried has a mean log p of {run['mean_log_p']:.3f}.")
    else:
        print(row("base, interpolated to the same log p", equal))


if __name__ == "__main__":
    main()

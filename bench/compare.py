"""Runs every side of the benchmarks in turn and prints the comparison as Markdown.

    compare.py --amortize PATH [--workloads train score ...] [--precisions f32 bf16] [--sides ...] [--rounds 5] [--out FILE.json]

Each round runs each (workload, side, precision) once, as a process of its own, so that whatever else the machine does falls
on all of them alike. A figure is the median over the rounds of the medians that the processes report.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORKLOADS = ["train", "score", "sample", "step-continuation", "step-infill"]
SIDES = ["amortize", "pytorch-usual", "pytorch-shared", "pytorch-best", "llama.cpp"]
# Each is said once more as a sentence: amortize in one precision against another side in one.
HEADLINES = [
    ("f32", "pytorch-usual", "f32"),
    ("bf16", "pytorch-usual", "f32"),
    ("f32", "pytorch-shared", "f32"),
    ("bf16", "pytorch-shared", "bf16"),
    ("f32", "pytorch-best", "f32"),
    ("bf16", "pytorch-best", "bf16"),
    ("f32", "llama.cpp", "f32"),
    ("bf16", "llama.cpp", "bf16"),
]


def plan(args):
    """What to run: (workload, side, precision), command."""
    common = ["--repeats", str(args.repeats), "--json"]
    jobs = []
    for workload in args.workloads:
        for side in args.sides:
            precisions = args.precisions + (["q8_0"] if side == "llama.cpp" else [])
            for precision in precisions:
                if side == "amortize":
                    if args.amortize is None:
                        continue
                    command = [args.amortize, "bench", "--workload", workload, "--precision", precision]
                elif side == "llama.cpp":
                    if workload != "sample":
                        continue
                    command = [args.python, HERE / "llamacpp.py", "--cache", args.cache, "--precision", precision]
                    command += ["--threads", str(args.threads)]
                else:
                    command = [args.python, HERE / "pytorch" / "run.py", "--workload", workload]
                    command += ["--side", side.removeprefix("pytorch-"), "--precision", precision]
                    command += ["--threads", str(args.threads)]
                jobs.append(((workload, side, precision), [str(part) for part in command + common]))
    return jobs


def run(key, command, threads):
    """The result that one process prints, or an exception that says what went wrong."""
    # The variables by which each side's threads are limited, whether or not it has an option.
    env = os.environ | {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode != 0:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    # amortize prints a list; anything before the JSON is a library's chatter.
    result = json.loads(done.stdout[min(i for i in map(done.stdout.find, "[{") if i >= 0) :])
    results = result if isinstance(result, list) else [result]
    workload, _, precision = key
    for result in results:
        if result["workload"] == workload and result["precision"] == precision:
            return result
    raise RuntimeError(f"no result for {workload} in {precision}: {done.stdout[-500:]}")


def collect(args, jobs):
    """Runs all jobs, round by round. Returns the results of each, and the failures. Saves after every round."""
    results, failures = {}, {}
    for number in range(1, args.rounds + 1):
        for key, command in jobs:
            if key in failures:
                continue
            try:
                result = run(key, command, args.threads)
            except (OSError, RuntimeError, ValueError) as error:
                failures[key] = str(error)
                print(f"round {number}: {' '.join(key)}: FAILED: {error}", file=sys.stderr, flush=True)
                continue
            results.setdefault(key, []).append(result)
            print(f"round {number}: {' '.join(key)}: {result['seconds']:.3f} s", file=sys.stderr, flush=True)
        if args.out:
            save(args, results, failures)
    return results, failures


def summary(results):
    """The medians over the rounds, by key."""
    median = lambda rows, field: statistics.median(row[field] for row in rows)
    return {
        key: {
            "seconds": median(rows, "seconds"),
            "lowest": min(row["seconds"] for row in rows),
            "highest": max(row["seconds"] for row in rows),
            "tokens_per_s": median(rows, "tokens_per_s"),
            "peak_rss_mb": median(rows, "peak_rss_mb"),
            "import_rss_mb": median(rows, "import_rss_mb") if "import_rss_mb" in rows[0] else None,
            "floor_share": median(rows, "floor_share") if rows[0].get("floor_share") is not None else None,
        }
        for key, rows in results.items()
    }


def machine():
    """The processor's name and the versions that matter."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"{name}, {os.cpu_count()} logical cores"


def save(args, results, failures):
    """Everything that was measured, as JSON."""
    flat = lambda table: [{"workload": w, "side": s, "precision": p, **value} for (w, s, p), value in table.items()]
    out = {
        "machine": machine(),
        "threads": args.threads,
        "repeats": args.repeats,
        "summary": flat(summary(results)),
        "runs": flat({key: {"rounds": rows} for key, rows in results.items()}),
        "failures": flat({key: {"error": error} for key, error in failures.items()}),
    }
    args.out.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


def table(title, header, rows):
    """A Markdown table under a heading."""
    lines = [f"## {title}", "", "| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def times(theirs, ours):
    """How many times ours goes into theirs."""
    return f"{theirs / ours:.2f}"


def markdown(args, results, failures):
    """The report."""
    medians = summary(results)
    text = [f"{machine()}, {args.threads} threads. Medians of {args.rounds} rounds of {args.repeats} repeats each.\n"]
    for workload in args.workloads:
        keys = [key for key in medians if key[0] == workload]
        ours = {key[2]: medians[key] for key in keys if key[1] == "amortize"}
        header = ["side", "precision", "seconds", "lowest to highest", "tokens/s", "peak RSS MiB", "of that imports"]
        header += ["share of the floor"] if ours else []
        header += [f"times amortize {precision}" for precision in ours]
        rows = []
        for key in keys:
            at = medians[key]
            imports = "" if at["import_rss_mb"] is None else f"{at['import_rss_mb']:.0f}"
            row = [key[1], key[2], f"{at['seconds']:.3f}", f"{at['lowest']:.3f} to {at['highest']:.3f}"]
            row += [f"{at['tokens_per_s']:.0f}", f"{at['peak_rss_mb']:.0f}", imports]
            row += ["" if at["floor_share"] is None else f"{at['floor_share']:.2f}"] if ours else []
            row += [times(at["seconds"], value["seconds"]) for value in ours.values()]
            rows.append(row)
        text.append(table(f"`{workload}`", header, rows))

    rows = []
    for precision, side, other in HEADLINES:
        for workload in args.workloads:
            ours, theirs = medians.get((workload, "amortize", precision)), medians.get((workload, side, other))
            if ours and theirs:
                share = f"{100 * ours['peak_rss_mb'] / theirs['peak_rss_mb']:.0f} %"
                row = [f"amortize {precision} against {side} {other}", workload]
                rows.append(row + [times(theirs["seconds"], ours["seconds"]), share])
    if rows:
        text.append(table("amortize against the others", ["comparison", "workload", "times as fast", "peak RSS"], rows))
    if failures:
        text.append("## Failed\n\n" + "\n".join(f"- {' '.join(key)}: {error}" for key, error in failures.items()) + "\n")
    return "\n".join(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--amortize", type=lambda path: Path(path).resolve(), help="the binary; without it, the others alone")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=WORKLOADS)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--precisions", nargs="+", choices=["f32", "bf16"], default=["f32", "bf16"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3, help="timed repeats in each process, after one that warms up")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--python", default=sys.executable, help="an interpreter with requirements.txt")
    parser.add_argument("--cache", type=Path, default=HERE / ".cache", help="directory for the GGUF files")
    parser.add_argument("--out", type=Path, help="also write everything as JSON")
    args = parser.parse_args()
    if args.amortize is None and "amortize" in args.sides:
        print("no --amortize: timing the others alone", file=sys.stderr)
    jobs = plan(args)
    if not jobs:
        raise SystemExit("nothing to run")
    results, failures = collect(args, jobs)
    print(markdown(args, results, failures))
    if failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

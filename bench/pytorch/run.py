"""Times one workload on one side in this process.

    run.py --workload train --side usual|shared|best --precision f32 [--repeats N] [--threads 2] [--json]
"""

import argparse
import json
import os
import statistics
import time
import warnings
from pathlib import Path

WORKLOADS = ["train", "score", "sample", "step-continuation", "step-infill"]


def prepare(workload, side, precision):
    """A function that runs the workload once."""
    import torch

    import best
    import shared
    import usual
    from workloads import LARGE, SMALL, Shape, make_inputs, make_model

    shape = Shape()
    is_step = workload.startswith("step-")
    inputs = make_inputs(shape, shape.full_stop if is_step else shape.eos)
    model = make_model(shape, LARGE if is_step else SMALL, precision)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    if side == "usual":
        if is_step:
            optimizer = torch.optim.AdamW(parameters, lr=1e-4)
            step = {"step-continuation": usual.step_continuation, "step-infill": usual.step_infill}[workload]
            return lambda: step(model, optimizer, inputs)
        return lambda: {"train": usual.train, "score": usual.score, "sample": usual.sample}[workload](model, inputs)

    if side == "shared":
        if is_step:
            optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
            reward = {"step-continuation": shared.continuation_reward, "step-infill": shared.infill_reward}[workload]
            return lambda: shared.step(model, optimizer, inputs, reward)
        return lambda: {"train": shared.train, "score": shared.score, "sample": shared.sample}[workload](model, inputs)

    rows = shape.samples if workload == "sample" else shape.prompt + shape.samples * shape.length
    fast = best.Gpt2(model, rows, train=is_step or workload == "train")
    if is_step:
        optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
        reward = {"step-continuation": best.continuation_reward, "step-infill": best.infill_reward}[workload]
        return lambda: best.step(fast, optimizer, inputs, reward)
    if workload == "train":
        return lambda: best.train(fast, parameters, inputs)
    return lambda: {"score": best.score, "sample": best.sample}[workload](fast, inputs)


def peak_rss_mb():
    """The peak resident memory of this process so far in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise SystemExit("no VmHWM in /proc/self/status")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", choices=WORKLOADS, required=True)
    parser.add_argument("--side", choices=["usual", "shared", "best"], required=True)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # before PyTorch is imported
    warnings.filterwarnings("ignore", category=FutureWarning)
    import torch

    import best  # noqa: F401, so that all imports are done
    import shared  # noqa: F401
    import usual  # noqa: F401

    import_rss_mb = peak_rss_mb()
    torch.set_num_threads(args.threads)
    run = prepare(args.workload, args.side, args.precision)
    torch.manual_seed(2)
    seconds = []
    for i in range(args.repeats + 1):
        start = time.perf_counter()
        run()
        if i > 0:  # the first one warms up
            seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    result = {
        "side": f"pytorch-{args.side}",
        "workload": args.workload,
        "precision": args.precision,
        "seconds": median,
        "all_seconds": seconds,
        "tokens_per_s": 16 * 24 / median,
        "peak_rss_mb": peak_rss_mb(),
        "import_rss_mb": import_rss_mb,
    }
    print(json.dumps(result) if args.json else f"{median:.3f} s, {result['peak_rss_mb']:.0f} MiB")


if __name__ == "__main__":
    main()

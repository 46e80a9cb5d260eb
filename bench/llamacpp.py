"""Times llama.cpp on the `sample` workload's decoding: one prompt, 16 sequences that share it, 24 tokens each.

    llamacpp.py --cache DIR --precision f32|bf16|q8_0 [--repeats N] [--threads 2] [--json]
    llamacpp.py --cache DIR --precision f32 --check

Only `llama_decode` is timed, which yields the logits from which 24 tokens of 16 sequences could be drawn: the prompt, then 23
batches of 16 tokens. Drawing, the adapter and the log-softmax are left out, all in llama.cpp's favour; the tokens are random.

The model is the benchmark's GPT-2 with the same seeded random weights, written to DIR as GGUF by a process of its own.
(The file is not called llama_cpp.py because it would then hide the package of that name.)
"""

import argparse
import ctypes
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROMPT, SAMPLES, LENGTH, VOCABULARY = 32, 16, 24, 50257


def write_gguf(path, precision):
    """The benchmark's GPT-2 as a GGUF file. As in llama.cpp's own files, norms, biases and positions stay in f32."""
    import gguf

    sys.path.insert(0, str(HERE / "pytorch"))
    from workloads import Shape, make_base

    kind = {
        "f32": gguf.GGMLQuantizationType.F32,
        "bf16": gguf.GGMLQuantizationType.BF16,
        "q8_0": gguf.GGMLQuantizationType.Q8_0,
    }[precision]
    shape = Shape()
    state = {name: value.numpy() for name, value in make_base(shape).state_dict().items()}

    # A file that is only half written must not be taken for a whole one.
    partial = path.with_suffix(".partial")
    out = gguf.GGUFWriter(str(partial), "gpt2")
    out.add_block_count(shape.layers)
    out.add_context_length(shape.context)
    out.add_embedding_length(shape.width)
    out.add_feed_forward_length(4 * shape.width)
    out.add_head_count(shape.heads)
    out.add_layer_norm_eps(1e-5)
    out.add_vocab_size(shape.vocabulary)
    out.add_tokenizer_model("no_vocab")

    def add(name, value, quantized=False):
        target = kind if quantized else gguf.GGMLQuantizationType.F32
        out.add_tensor(name, gguf.quants.quantize(value, target), raw_dtype=target)

    def add_norm(name, source):
        add(f"{name}.weight", state[f"{source}.weight"])
        add(f"{name}.bias", state[f"{source}.bias"])

    def add_projection(name, source):
        # transformers stores [in, out] here, GGUF [out, in].
        add(f"{name}.weight", state[f"{source}.weight"].T.copy(), quantized=True)
        add(f"{name}.bias", state[f"{source}.bias"])

    add("token_embd.weight", state["transformer.wte.weight"], quantized=True)
    add("position_embd.weight", state["transformer.wpe.weight"])
    add_norm("output_norm", "transformer.ln_f")
    for i in range(shape.layers):
        block, source = f"blk.{i}", f"transformer.h.{i}"
        add_norm(f"{block}.attn_norm", f"{source}.ln_1")
        add_projection(f"{block}.attn_qkv", f"{source}.attn.c_attn")
        add_projection(f"{block}.attn_output", f"{source}.attn.c_proj")
        add_norm(f"{block}.ffn_norm", f"{source}.ln_2")
        add_projection(f"{block}.ffn_up", f"{source}.mlp.c_fc")
        add_projection(f"{block}.ffn_down", f"{source}.mlp.c_proj")
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    partial.rename(path)


class Decoder:
    """A llama.cpp context for `SAMPLES` sequences over one model file, at its default settings otherwise."""

    def __init__(self, path, threads, unified):
        import llama_cpp

        self.lib = llama_cpp
        # llama.cpp's messages would go to the terminal; the callback must outlive the library's use of it.
        self.silent = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(self.silent, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        params = llama_cpp.llama_context_default_params()
        # Without a unified cache every sequence has n_ctx / n_seq_max cells of its own.
        per_sequence = PROMPT + LENGTH
        params.n_ctx = PROMPT + SAMPLES * LENGTH if unified else SAMPLES * per_sequence
        params.kv_unified = unified
        params.n_batch = params.n_ubatch = max(PROMPT, SAMPLES)
        params.n_seq_max = SAMPLES
        params.n_threads = params.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        if not self.context:
            raise SystemExit("llama.cpp made no context")
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.batch = llama_cpp.llama_batch_init(params.n_batch, 0, 1)

    def decode(self, rows):
        """Runs `(token, position, sequence, wants logits)` rows through the model."""
        batch = self.batch
        batch.n_tokens = len(rows)
        for i, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[i] = token
            batch.pos[i] = position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = wanted
        if self.lib.llama_decode(self.context, batch) != 0:
            raise SystemExit("llama_decode failed")
        # Asking for the logits waits for the computation.
        return self.lib.llama_get_logits(self.context)

    def logits(self, count):
        """The logits of the last decode's `count` wanted rows, copied."""
        import numpy

        pointer = self.lib.llama_get_logits(self.context)
        return numpy.ctypeslib.as_array(pointer, (count, VOCABULARY)).copy()

    def sample(self, prompt, z, each=lambda: None):
        """Feeds the prompt once and the columns of `z` but the last; calls `each` after every step."""
        self.lib.llama_memory_clear(self.memory, True)
        self.decode([(token, i, 0, i == len(prompt) - 1) for i, token in enumerate(prompt)])
        each()
        for sequence in range(1, len(z)):
            self.lib.llama_memory_seq_cp(self.memory, 0, sequence, -1, -1)
        for k in range(len(z[0]) - 1):
            self.decode([(row[k], len(prompt) + k, sequence, True) for sequence, row in enumerate(z)])
            each()


def inputs():
    """Seeded random tokens: the prompt, and SAMPLES x LENGTH continuations."""
    import random

    draw = random.Random(1)
    ids = lambda count: [draw.randrange(VOCABULARY) for _ in range(count)]
    return ids(PROMPT), [ids(LENGTH) for _ in range(SAMPLES)]


def check(decoder, precision):
    """Compares the log-probabilities of every step and sample with transformers' in f32, at the same weights."""
    import torch

    sys.path.insert(0, str(HERE / "pytorch"))
    from workloads import Shape, make_base

    prompt, z = inputs()
    rows = []
    decoder.sample(prompt, z, lambda: rows.append(decoder.logits(SAMPLES if rows else 1)))
    ours = torch.stack([torch.from_numpy(row).expand(SAMPLES, -1) for row in rows], 1)
    ids = torch.cat([torch.tensor(prompt)[None].expand(SAMPLES, -1), torch.tensor(z)], 1)
    with torch.no_grad():
        theirs = make_base(Shape())(ids).logits[:, PROMPT - 1 : -1]
    worst = (ours.log_softmax(-1) - theirs.log_softmax(-1)).abs().max().item()
    bound = {"f32": 0.01, "bf16": 0.1, "q8_0": 0.2}[precision]
    print(f"llama.cpp {precision}: max |delta log p| {worst:.2e} over {ours.numel()} log-probabilities, bound {bound}")
    if not worst < bound:
        raise SystemExit(1)


def peak_rss_mb():
    """The peak resident memory of this process so far in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise SystemExit("no VmHWM in /proc/self/status")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="directory for the GGUF files")
    parser.add_argument("--precision", choices=["f32", "bf16", "q8_0"], default="f32")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kv", choices=["split", "unified"], default="split", help="one cache per sequence, or one for all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--make", action="store_true", help="only write the GGUF file")
    args = parser.parse_args()

    path = args.cache / f"gpt2-{args.precision}.gguf"
    if args.make:
        args.cache.mkdir(parents=True, exist_ok=True)
        return write_gguf(path, args.precision)
    if not path.exists():
        make = [sys.executable, __file__, "--make", "--cache", args.cache, "--precision", args.precision]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)

    import llama_cpp  # noqa: F401

    import_rss_mb = peak_rss_mb()
    decoder = Decoder(path, args.threads, args.kv == "unified")
    if args.check:
        return check(decoder, args.precision)
    prompt, z = inputs()
    seconds = []
    for i in range(args.repeats + 1):
        start = time.perf_counter()
        decoder.sample(prompt, z)
        if i > 0:
            seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    result = {
        "side": "llama.cpp",
        "workload": "sample",
        "precision": args.precision,
        "seconds": median,
        "all_seconds": seconds,
        "tokens_per_s": SAMPLES * LENGTH / median,
        "peak_rss_mb": peak_rss_mb(),
        "import_rss_mb": import_rss_mb,
    }
    print(json.dumps(result) if args.json else f"{median:.3f} s, {result['peak_rss_mb']:.0f} MiB")


if __name__ == "__main__":
    main()

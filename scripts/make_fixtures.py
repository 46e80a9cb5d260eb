#!/usr/bin/env python3
"""Makes tiny random-weight models and their golden numbers for the tests of crates/lm.

    python3 -m venv .venv
    .venv/bin/pip install -r scripts/requirements.txt
    .venv/bin/python scripts/make_fixtures.py [--out crates/lm/tests/fixtures]

The fixtures are committed; the tests need no Python. Everything is seeded by name and computed in float32 on one CPU
thread, so a second run on the same machine with the same versions gives the same bytes. (Another CPU may differ in the
last bits of the golden numbers.)

Layout, for each model:

    <model>/config.json, tokenizer.json, tokenizer_config.json
    <model>/model.safetensors            (gpt2-bare: two shards and model.safetensors.index.json)
    <model>/golden.json                  see below
    <model>/adapter-all/                 a PEFT adapter on every projection
    <model>/adapter-rslora/              a PEFT adapter with rank-stabilised scaling on q_proj, v_proj (gpt2: c_attn)
    <model>/grads-full.safetensors       d L / d base parameter, no adapter. Hugging Face's names
    <model>/grads-all.safetensors        d L / d lora_A, lora_B of adapter-all. PEFT's key names
    <model>/grads-rslora.safetensors     the same of adapter-rslora
    llama3-rope/config-new-form.json     the same model said the newer way (`rope_parameters`)

The models:

    gpt2-tiny          as transformers saves it: `transformer.` prefix, tied head left out, f32
    gpt2-bare          the same numbers without the prefix, in f16, in two shards, with the mask buffers
                       `h.N.attn.bias` that the original gpt2 repository has and a reader must ignore. gpt2-tiny's
                       weights are rounded to f16, so both give the same logits
    llama-tiny         grouped-query attention, untied head, older config (`rope_theta`, `rope_scaling` null), f32
    llama3-rope        `rope_scaling` llama3, tied head, biases on every projection, bf16. rope_theta is 100, so that the
                       four frequencies meet all three branches of the rule (kept, blended, divided)
    llama-linear-rope  `rope_scaling` linear with the older key `type`, head_dim 16 (not hidden / heads), untied head, f32

golden.json (log-probabilities are natural; ids are plain lists):

    model              the directory's name
    versions           of the packages used
    score              [{name, prompt_ids, completion_ids, log_probs}], log_probs one per completion token
    text               [{prompt, completion, prompt_ids, completion_ids, log_probs}]. prompt_ids has the tokenizer's own
                       prefix (BOS, "▁"), or is [bos] where the prompt is empty and the tokenizer adds nothing;
                       completion_ids is encoded on its own without that prefix
    next_token         {ids, log_probs}: the whole next-token distribution after ids, one number per token of the vocabulary
    objective          [{prompt_ids, completion_ids, coefficients}]: L = sum over all completion tokens of
                       coefficient * log p. The coefficients are multiples of 1/64. Two sequences share a prefix
    full               {objective, gradients}: L of the base model, and the file with its gradients. A tied head's
                       gradient is added into the embedding's
    lora               [{adapter, rank, alpha, use_rslora, scaling, target_modules, score, text, objective, gradients}]:
                       score and text are lists of log_probs, in the order of the lists above

Weights stored in f16 or bf16 are upcast to float32 before anything is computed. Gradients are float32.
"""

import argparse
import json
import platform
import shutil
import warnings
import zlib
from pathlib import Path

from lm_reference import Text, load_model, token_log_probs

import numpy as np
import peft
import safetensors
import tokenizers
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM

SEED = 2024

SENTENCES = [
    "The cat sat on the mat and looked at the dog.",
    "A little dog ran over the hill to find the sea.",
    "Once upon a time there was a girl who lived near the forest.",
    "She walked to the river and the river sang to her.",
    "The old man opened the door, but there was nobody there.",
    "It rained all day, and then the sun came out.",
    "He asked the bird: where do you go in the winter?",
    "The bird said that it flies to the south!",
    "They had bread and milk for dinner, and then they slept.",
    "In the morning the children went to school with their mother.",
    "The answer is 7 because 3 + 4 = 7.",
    "There were 12 boats on the lake, 5 of them red.",
    "Tom took the red ball and gave it to his sister.",
    "The sister was very happy and said thank you.",
    "Every story has an end, and this is the end.",
]

TEXTS = [
    ("The cat sat on the", " mat and looked at the dog."),
    ("Once upon a time", " there was a little dog"),
    ("The answer is 3 + 4 =", " 7."),
    ("She walked", "."),
    ("", "The end."),
]
# Only the llama tokenizer can spell what is not ASCII.
TEXTS_BYTES = [("The old café", " naïve 🐦 sang.\n")]


def rng(*names):
    """A random generator of its own for every purpose, so that adding one changes no other."""
    return np.random.default_rng([SEED, *(zlib.crc32(name.encode()) for name in names)])


def number(x):
    """The shortest decimal that reads back as the same float32."""
    return float(str(np.float32(x)))


def numbers(xs):
    return [number(x) for x in torch.as_tensor(xs).detach().tolist()]


def to_json(value, indent=0):
    """JSON with a list of scalars on one line."""
    pad, inner = " " * indent, " " * (indent + 1)
    if isinstance(value, dict) and value:
        items = (f"{inner}{json.dumps(k, ensure_ascii=False)}: {to_json(v, indent + 1)}" for k, v in value.items())
        return "{\n" + ",\n".join(items) + "\n" + pad + "}"
    if isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value):
        return "[\n" + ",\n".join(inner + to_json(v, indent + 1) for v in value) + "\n" + pad + "]"
    return json.dumps(value, ensure_ascii=False)


def write_json(path, value):
    path.write_text(to_json(value) + "\n", encoding="utf-8")


# ---------------------------------------------------------------------------------------------------- tokenizers


def write_gpt2_tokenizer(directory):
    """A byte-level BPE over printable ASCII and the newline, 128 tokens, "<|endoftext|>" the last. Other bytes have no
    token and vanish: the whole alphabet of 256 would only make the fixtures larger."""
    alphabet = ["Ġ", "Ċ"] + [chr(c) for c in range(33, 127)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.train_from_iterator(
        SENTENCES,
        trainers.BpeTrainer(vocab_size=127, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", normalized=False, special=True)])
    spec = json.loads(tokenizer.to_str())
    end = spec["added_tokens"][0]["id"]
    spec["model"]["vocab"]["<|endoftext|>"] = end  # as in GPT-2's own file
    write_json(directory / "tokenizer.json", spec)
    write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "GPT2Tokenizer",
            "add_prefix_space": False,
            "bos_token": "<|endoftext|>",
            "eos_token": "<|endoftext|>",
            "unk_token": "<|endoftext|>",
            "model_max_length": 64,
        },
    )
    return end + 1


def write_llama_tokenizer(directory):
    """A BPE as Llama 2 has it: "▁" for spaces and before the text, unknown characters as bytes, BOS before a text."""
    trained = Tokenizer(models.BPE())
    # Only for training: no merge may cross a space or take in a punctuation mark, so "." stays a token of its own.
    trained.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    trained.train_from_iterator(SENTENCES, trainers.BpeTrainer(vocab_size=112, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    merges = model["merges"]
    merged = ["".join(pair) for pair in merges]
    characters = sorted(set(model["vocab"]) - set(merged))
    specials = ["<unk>", "<s>", "</s>"]
    pieces = specials + [f"<0x{byte:02X}>" for byte in range(256)]
    pieces += [piece for piece in dict.fromkeys(merged + characters) if piece not in pieces]

    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    first = {"Sequence": {"id": "A", "type_id": 0}}
    second = {"Sequence": {"id": "B", "type_id": 0}}
    spec = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": i,
                "content": piece,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for i, piece in enumerate(specials)
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, first],
            "pair": [bos, first, bos, second],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece: i for i, piece in enumerate(pieces)},
            "merges": merges,
        },
    }
    write_json(directory / "tokenizer.json", spec)
    write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "model_max_length": 64,
        },
    )
    return len(pieces)


# -------------------------------------------------------------------------------------------------------- models


def randomise(model, seed_name):
    """Large weights, random biases, norm weights around one: a mistake anywhere moves the logits."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            draw = torch.from_numpy(rng(seed_name, name).standard_normal(tuple(parameter.shape)))
            if name.endswith("bias"):
                value = 0.2 * draw
            elif parameter.dim() == 1:
                value = 1.0 + 0.2 * draw
            else:
                value = 0.3 * draw
            parameter.copy_(value.float())


def new_model(directory, seed_name):
    config = AutoConfig.from_pretrained(directory)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    randomise(model, seed_name)
    return model.eval()


def save_weights(model, directory):
    """model.safetensors as transformers writes it; config.json stays as this script wrote it."""
    config = (directory / "config.json").read_bytes()
    model.save_pretrained(directory)
    (directory / "config.json").write_bytes(config)
    (directory / "generation_config.json").unlink(missing_ok=True)


def gpt2_config(vocab_size):
    """The form of the original gpt2 repository's config.json."""
    return {
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": 0.1,
        "bos_token_id": vocab_size - 1,
        "embd_pdrop": 0.1,
        "eos_token_id": vocab_size - 1,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05,
        "model_type": "gpt2",
        "n_ctx": 64,
        "n_embd": 32,
        "n_head": 4,
        "n_layer": 2,
        "n_positions": 64,
        "resid_pdrop": 0.1,
        "vocab_size": vocab_size,
    }


def make_gpt2_tiny(directory):
    vocab_size = write_gpt2_tokenizer(directory)
    write_json(directory / "config.json", gpt2_config(vocab_size))
    model = new_model(directory, "gpt2")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    model.save_pretrained(directory)  # config.json too, so one fixture has the newer form
    (directory / "generation_config.json").unlink(missing_ok=True)


def make_gpt2_bare(directory):
    vocab_size = write_gpt2_tokenizer(directory)
    write_json(directory / "config.json", gpt2_config(vocab_size))
    model = new_model(directory, "gpt2")
    tensors = {}
    for name, tensor in model.transformer.state_dict().items():
        if not name.endswith(".attn.bias"):  # and not "attn.c_attn.bias"
            tensors[name] = tensor.half().contiguous()
    for layer in range(model.config.n_layer):
        tensors[f"h.{layer}.attn.bias"] = torch.tril(torch.ones(64, 64)).view(1, 1, 64, 64).half()

    names = sorted(tensors)
    half = len(names) // 2
    weight_map = {}
    for part, shard in enumerate((names[:half], names[half:]), start=1):
        file = f"model-{part:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in shard}, directory / file, metadata={"format": "pt"})
        weight_map.update({name: file for name in shard})
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    write_json(directory / "model.safetensors.index.json", index)


def llama_config(vocab_size, **changes):
    """The form of config.json before transformers 5."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "use_cache": True,
        "vocab_size": vocab_size,
    }
    return {**config, **changes}


def make_llama_tiny(directory):
    vocab_size = write_llama_tokenizer(directory)
    write_json(directory / "config.json", llama_config(vocab_size))
    save_weights(new_model(directory, "llama-tiny"), directory)


def make_llama3_rope(directory):
    vocab_size = write_llama_tokenizer(directory)
    scaling = {
        "factor": 8.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 32,
        "rope_type": "llama3",
    }
    config = llama_config(
        vocab_size,
        attention_bias=True,
        max_position_embeddings=256,
        mlp_bias=True,
        rope_scaling=scaling,
        rope_theta=100.0,
        tie_word_embeddings=True,
        torch_dtype="bfloat16",
    )
    write_json(directory / "config.json", config)
    newer = {k: v for k, v in config.items() if k not in ("rope_scaling", "rope_theta", "torch_dtype")}
    newer["dtype"] = "bfloat16"
    newer["rope_parameters"] = {**scaling, "rope_theta": 100.0}
    write_json(directory / "config-new-form.json", dict(sorted(newer.items())))
    save_weights(new_model(directory, "llama3-rope").to(torch.bfloat16), directory)

    # Both forms must mean the same to transformers, and no less than all three branches of the rule be met.
    old = load_model(directory)
    new = load_model(directory, AutoConfig.from_pretrained(directory / "config-new-form.json"))
    ids = torch.arange(3, 63).view(1, -1)
    assert torch.equal(old(ids).logits, new(ids).logits)
    plain = 100.0 ** (-torch.arange(0, 8, 2) / 8)
    ratio = (old.model.rotary_emb.inv_freq / plain).tolist()
    assert abs(ratio[0] - 1) < 1e-6 and 0.126 < ratio[1] < 0.99 and abs(ratio[2] - 0.125) < 1e-6, ratio


def make_llama_linear_rope(directory):
    vocab_size = write_llama_tokenizer(directory)
    config = llama_config(
        vocab_size, head_dim=16, max_position_embeddings=128, rope_scaling={"factor": 2.0, "type": "linear"}
    )
    write_json(directory / "config.json", dict(sorted(config.items())))
    save_weights(new_model(directory, "llama-linear-rope"), directory)

    inv_freq = load_model(directory).model.rotary_emb.inv_freq
    assert torch.allclose(inv_freq, 0.5 * 10000.0 ** (-torch.arange(0, 16, 2) / 16)), inv_freq


MODELS = {
    "gpt2-tiny": make_gpt2_tiny,
    "gpt2-bare": make_gpt2_bare,
    "llama-tiny": make_llama_tiny,
    "llama3-rope": make_llama3_rope,
    "llama-linear-rope": make_llama_linear_rope,
}


# ------------------------------------------------------------------------------------------------- golden numbers


def id_cases(family, vocab_size, eos):
    """(name, prompt ids, completion ids). Ids are drawn from the whole vocabulary."""
    random = rng(family, "cases")

    def draw(n):
        return [int(i) for i in random.integers(0, vocab_size, n)]

    a, b = draw(2)
    shared_prompt, shared_start = draw(6), draw(3)
    return [
        ("one token", draw(3), draw(1)),
        ("one token after one", draw(1), draw(1)),
        ("short prompt", draw(1), draw(7)),
        ("long", draw(12), draw(28)),
        ("long prompt", draw(38), draw(2)),
        ("repeated tokens", [a, a, a, b], [b, b, b, b, a, a, b, a]),
        ("ends of text", draw(4) + [eos], draw(4) + [eos, eos]),
        ("shared prefix, first", shared_prompt, shared_start + draw(4)),
        ("shared prefix, second", shared_prompt, shared_start + draw(6)),
    ]


def objective_sequences(cases):
    """Fixed coefficients on the completion tokens of three cases, two of which share a prefix."""
    chosen = [c for c in cases if c[0] in ("repeated tokens", "shared prefix, first", "shared prefix, second")]
    random = rng("coefficients")
    return [
        {
            "prompt_ids": prompt,
            "completion_ids": completion,
            "coefficients": [int(k) / 64 for k in random.integers(-64, 65, len(completion))],
        }
        for _, prompt, completion in chosen
    ]


def objective(model, sequences):
    total = 0.0
    for s in sequences:
        total = total + (torch.tensor(s["coefficients"]) * token_log_probs(model, s["prompt_ids"], s["completion_ids"])).sum()
    return total


@torch.no_grad()
def scores(model, pairs):
    return [numbers(token_log_probs(model, prompt, completion)) for prompt, completion in pairs]


def save_gradients(path, gradients):
    for name, gradient in gradients.items():
        assert gradient is not None and torch.isfinite(gradient).all() and gradient.abs().max() > 0, name
    save_file({name: g.contiguous() for name, g in gradients.items()}, path, metadata={"format": "pt"})


def make_adapter(directory, name, targets, use_rslora):
    """A LoRA adapter as PEFT saves it, with both factors random."""
    base = load_model(directory)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=4,
        lora_alpha=8,
        lora_dropout=0.0,
        bias="none",
        target_modules=targets,
        use_rslora=use_rslora,
        fan_in_fan_out=base.config.model_type == "gpt2",
        inference_mode=False,
    )
    model = get_peft_model(base, config)
    # gpt2-bare gets the adapters of gpt2-tiny.
    seed_name = "gpt2" if directory.name.startswith("gpt2") else directory.name
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "lora_" in parameter_name:
                std = 0.3 if "lora_A" in parameter_name else 0.1
                draw = rng(seed_name, name, parameter_name).standard_normal(tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(std * draw).float())
    out = directory / name
    model.save_pretrained(out, save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)

    # PEFT writes the path of the base model and a set in no fixed order.
    path = out / "adapter_config.json"
    saved = json.loads(path.read_text(encoding="utf-8"))
    saved["base_model_name_or_path"] = directory.name
    saved["target_modules"] = sorted(saved["target_modules"])
    write_json(path, dict(sorted(saved.items())))


def lora_golden(directory, name, id_pairs, text_pairs, sequences):
    """Golden numbers of an adapter, read back from its files."""
    model = PeftModel.from_pretrained(load_model(directory), directory / name, is_trainable=True).eval()
    config = model.peft_config["default"]
    model.zero_grad()
    value = objective(model, sequences)
    value.backward()
    gradients = {
        parameter_name.replace(".default.", "."): parameter.grad
        for parameter_name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    with safetensors.safe_open(directory / name / "adapter_model.safetensors", "pt") as saved:
        assert set(saved.keys()) == set(gradients), "the gradients and the adapter must have the same names"
    file = f"grads-{name.removeprefix('adapter-')}.safetensors"
    save_gradients(directory / file, gradients)
    scaling = config.lora_alpha / (config.r**0.5 if config.use_rslora else config.r)
    return {
        "adapter": name,
        "rank": config.r,
        "alpha": config.lora_alpha,
        "use_rslora": config.use_rslora,
        "scaling": scaling,
        "target_modules": sorted(config.target_modules),
        "score": scores(model, id_pairs),
        "text": scores(model, text_pairs),
        "objective": number(value.item()),
        "gradients": file,
    }


def float32_noise(directory, id_pairs, sequences):
    """How far float32 rounding moves the numbers here, against float64 where transformers lets us (its norm and softmax
    stay in float32): the floor for a test's tolerance."""
    single, double = load_model(directory), load_model(directory).double()
    with torch.no_grad():
        logs = max(
            (token_log_probs(single, p, c) - token_log_probs(double, p, c)).abs().max().item() for p, c in id_pairs
        )
    for model in (single, double):
        objective(model, sequences).backward()
    wide = dict(double.named_parameters())
    grads = max(
        ((p.grad - wide[n].grad).norm() / wide[n].grad.norm()).item() for n, p in single.named_parameters()
    )
    return logs, grads


def make_golden(directory, versions):
    family = "gpt2" if directory.name.startswith("gpt2") else "llama"
    model = load_model(directory)
    text = Text(directory)
    cases = id_cases(family, model.config.vocab_size, model.config.eos_token_id)
    id_pairs = [(prompt, completion) for _, prompt, completion in cases]
    texts = TEXTS + (TEXTS_BYTES if family == "llama" else [])
    text_pairs = [(text.prompt_ids(prompt), text.completion_ids(completion)) for prompt, completion in texts]
    sequences = objective_sequences(cases)
    assert text.tokenizer.get_vocab_size() == model.config.vocab_size
    assert text.tokenizer.token_to_id(".") is not None
    assert all(len(p) + len(c) <= 64 for p, c in id_pairs + text_pairs)
    for (_, completion), (_, ids) in zip(texts, text_pairs):
        # Nothing is lost or added. After "x", since Llama's decoder strips the space that begins a text.
        assert text.tokenizer.decode(text.completion_ids("x") + ids) == "x" + completion, completion

    ids = id_pairs[3][0]
    with torch.no_grad():
        distribution = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1], dim=-1)

    model.zero_grad()
    value = objective(model, sequences)
    value.backward()
    save_gradients(directory / "grads-full.safetensors", {n: p.grad for n, p in model.named_parameters()})

    if family == "gpt2":
        everything, few = ["c_attn", "c_proj", "c_fc"], ["c_attn"]
    else:
        everything = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        few = ["q_proj", "v_proj"]
    make_adapter(directory, "adapter-all", everything, use_rslora=False)
    make_adapter(directory, "adapter-rslora", few, use_rslora=True)

    golden = {
        "model": directory.name,
        "versions": versions,
        "score": [
            {"name": name, "prompt_ids": prompt, "completion_ids": completion, "log_probs": log_probs}
            for (name, prompt, completion), log_probs in zip(cases, scores(model, id_pairs))
        ],
        "text": [
            {
                "prompt": prompt,
                "completion": completion,
                "prompt_ids": prompt_ids,
                "completion_ids": completion_ids,
                "log_probs": log_probs,
            }
            for (prompt, completion), (prompt_ids, completion_ids), log_probs in zip(
                texts, text_pairs, scores(model, text_pairs)
            )
        ],
        "next_token": {"ids": ids, "log_probs": numbers(distribution)},
        "objective": sequences,
        "full": {"objective": number(value.item()), "gradients": "grads-full.safetensors"},
        "lora": [
            lora_golden(directory, name, id_pairs, text_pairs, sequences) for name in ("adapter-all", "adapter-rslora")
        ],
    }
    write_json(directory / "golden.json", golden)

    logs, grads = float32_noise(directory, id_pairs, sequences)
    entropy = -(distribution.exp() * distribution).sum().item()
    moved = max(
        abs(a - b) for case, row in zip(golden["score"], golden["lora"][0]["score"]) for a, b in zip(case["log_probs"], row)
    )
    print(
        f"{directory.name}: vocabulary {model.config.vocab_size}, entropy of next_token {entropy:.2f} nats, "
        f"adapter-all moves log p by up to {moved:.1f}; float32 against float64: log p {logs:.1e}, "
        f"gradients {grads:.1e} (relative, worst tensor)"
    )
    return golden


def main():
    default = Path(__file__).resolve().parent.parent / "crates" / "lm" / "tests" / "fixtures"
    parser = argparse.ArgumentParser(description="Makes the fixtures of crates/lm.")
    parser.add_argument("--out", type=Path, default=default, help="default: crates/lm/tests/fixtures")
    out = parser.parse_args().out

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    warnings.simplefilter("ignore", FutureWarning)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    versions = {
        "python": platform.python_version(),
        **{m.__name__: m.__version__ for m in (torch, transformers, peft, safetensors, tokenizers, np)},
    }
    print(" ".join(f"{name} {version}" for name, version in versions.items()))

    golden = {}
    for name, make in MODELS.items():
        directory = out / name
        if directory.exists():
            shutil.rmtree(directory)
        directory.mkdir(parents=True)
        make(directory)
        golden[name] = make_golden(directory, versions)

    # gpt2-bare is gpt2-tiny said otherwise.
    tiny, bare = golden["gpt2-tiny"], golden["gpt2-bare"]
    for key in ("score", "text", "next_token", "objective", "full", "lora"):
        assert tiny[key] == bare[key], key
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{size} bytes")
    assert size < 3_000_000


if __name__ == "__main__":
    main()

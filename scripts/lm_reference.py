"""What the scripts here share: the reference log-probabilities, and how text becomes ids.

Everything is float32 on the CPU, with eager attention and no dropout.
"""

import json
import os
from pathlib import Path

# Only local directories are read; never ask a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM


def load_model(path, config=None):
    """The model in `path`, its weights upcast to float32. Fails if a weight is missing or of the wrong shape."""
    model, info = AutoModelForCausalLM.from_pretrained(
        path, config=config, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    if info["missing_keys"] or info["mismatched_keys"]:
        raise SystemExit(f"{path}: missing {info['missing_keys']}, mismatched {info['mismatched_keys']}")
    return model.eval()


def token_log_probs(model, prompt_ids, completion_ids):
    """log p(completion[k] | prompt, completion[:k]) for every k, as a tensor that carries gradients."""
    if not prompt_ids or not completion_ids:
        raise ValueError("the prompt and the completion need at least one token each")
    ids = torch.tensor([list(prompt_ids) + list(completion_ids)])
    logits = model(input_ids=ids, use_cache=False).logits[0]
    start = len(prompt_ids)
    rows = torch.log_softmax(logits[start - 1 : -1].float(), dim=-1)
    return rows.gather(1, ids[0, start:, None])[:, 0]


def _without_prefix(component):
    """A normalizer or pre-tokenizer from tokenizer.json with whatever puts a space before the text taken out."""
    if component is None:
        return None
    component = dict(component)
    kind = component["type"]
    if kind == "Prepend":
        return None
    if kind == "Sequence":
        key = "normalizers" if "normalizers" in component else "pretokenizers"
        component[key] = [part for part in map(_without_prefix, component[key]) if part is not None]
    elif kind == "Metaspace":
        component["prepend_scheme"] = "never"
        component.pop("add_prefix_space", None)
    elif kind == "ByteLevel":
        component["add_prefix_space"] = False
    return component


class Text:
    """How the texts of a model directory are encoded.

    A prompt is encoded as the tokenizer does it, with its own special tokens (BOS) and its own leading space. An
    empty prompt is the BOS token, or the EOS token where there is no BOS. A completion continues a prompt, so it is
    encoded without special tokens and without the leading space. The two are never tokenised as one string.
    """

    def __init__(self, model_dir):
        path = Path(model_dir) / "tokenizer.json"
        spec = json.loads(path.read_text(encoding="utf-8"))
        self.tokenizer = Tokenizer.from_str(json.dumps(spec))
        spec["normalizer"] = _without_prefix(spec.get("normalizer"))
        spec["pre_tokenizer"] = _without_prefix(spec.get("pre_tokenizer"))
        spec["post_processor"] = None
        self.continuation = Tokenizer.from_str(json.dumps(spec))

        config = json.loads((Path(model_dir) / "config.json").read_text(encoding="utf-8"))
        start = config.get("bos_token_id")
        if start is None:
            start = config.get("eos_token_id")
        self.start = start[0] if isinstance(start, list) else start

    def prompt_ids(self, text):
        return self.tokenizer.encode(text).ids or [self.start]

    def completion_ids(self, text):
        return self.continuation.encode(text, add_special_tokens=False).ids

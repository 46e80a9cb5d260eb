"""What the ways of running PyTorch share: the model, the inputs of each workload, and the loss."""

import os
from dataclasses import dataclass

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel

PRECISIONS = {"f32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Shape:
    """A GPT-2 and the sizes of a workload. The defaults are the benchmark's."""

    layers: int = 12
    width: int = 768
    heads: int = 12
    vocabulary: int = 50257
    context: int = 1024
    prompt: int = 32
    samples: int = 16
    length: int = 24
    y: int = 12
    eos: int = 50256  # the stop of `train` and `score`
    full_stop: int = 13  # the stop of the steps


@dataclass(frozen=True)
class Lora:
    """A PEFT adapter."""

    rank: int
    targets: tuple
    dropout: float
    alpha: int = 16


# train, score, sample
SMALL = Lora(rank=8, targets=("c_attn",), dropout=0.0)
# The steps. PEFT matches names' ends, so that c_proj is both the attention's and the MLP's.
LARGE = Lora(rank=64, targets=("c_attn", "c_proj", "c_fc"), dropout=0.1)


@dataclass(frozen=True)
class Inputs:
    """Seeded random inputs of a workload."""

    prompt: torch.Tensor  # [prompt], what the policy continues
    reward_prompt: torch.Tensor  # [prompt], X of the infilling reward
    y: torch.Tensor  # [y]
    z: torch.Tensor  # [samples, length]; the steps and `sample` use its shape only
    token_weights: torch.Tensor  # [samples, length]
    stop_weights: torch.Tensor  # [samples, length + 1]
    stop: int


def make_inputs(shape, stop, seed=1):
    """The inputs that `seed` determines."""
    g = torch.Generator().manual_seed(seed)
    ids = lambda *size: torch.randint(shape.vocabulary, size, generator=g)
    return Inputs(
        prompt=ids(shape.prompt),
        reward_prompt=ids(shape.prompt),
        y=ids(shape.y),
        z=ids(shape.samples, shape.length),
        token_weights=torch.randn(shape.samples, shape.length, generator=g),
        stop_weights=torch.randn(shape.samples, shape.length + 1, generator=g),
        stop=stop,
    )


def make_base(shape, precision="f32", seed=0):
    """A GPT-2 with random weights, in evaluation mode, built in its precision so that memory never holds another."""
    torch.manual_seed(seed)
    config = GPT2Config(
        n_layer=shape.layers, n_embd=shape.width, n_head=shape.heads, vocab_size=shape.vocabulary,
        n_positions=shape.context, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=shape.eos, eos_token_id=shape.eos, attn_implementation="sdpa",
    )  # fmt: skip
    torch.set_default_dtype(PRECISIONS[precision])
    try:
        return GPT2LMHeadModel(config).eval()
    finally:
        torch.set_default_dtype(torch.float32)


def make_model(shape, lora, precision="f32", seed=0):
    """The base model with an adapter, whose B is drawn at random too: at B = 0 the gradient of A would vanish."""
    model = make_base(shape, precision, seed)
    model = get_peft_model(
        model,
        LoraConfig(
            r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=list(lora.targets),
            fan_in_fan_out=True, task_type="CAUSAL_LM",
        ),
    )  # fmt: skip
    model.to(PRECISIONS[precision])
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    return model.eval()


def train_with(log_probs, model, inputs):
    """Forward and backward of the weighted sum of a PEFT model's log-probabilities. Gradients are left in the parameters."""
    model.zero_grad(set_to_none=True)
    tokens, stops = log_probs(model, inputs.prompt, inputs.z, inputs.stop)
    loss = (inputs.token_weights * tokens).sum() + (inputs.stop_weights * stops).sum()
    loss.backward()
    return tokens.detach(), stops.detach()


@torch.no_grad()
def score_with(log_probs, model, inputs):
    """The same log-probabilities under a PEFT model's base, without gradient."""
    with model.disable_adapter():
        return log_probs(model, inputs.prompt, inputs.z, inputs.stop)


def modified_subtb_loss(log_q, log_q_stop, log_r):
    """The modified SubTB loss with lambda = 1: the mean of squares over all sub-trajectories of all samples.

    `log_q` is [S, n]; `log_q_stop` and `log_r` are [S, n + 1]. Every prefix may stop, so its flow is R / q(stop), and the
    residual of a sub-trajectory is a difference of cumulative sums.
    """
    flow = log_r - log_q_stop
    delta = flow[:, :-1] + log_q - flow[:, 1:]
    sums = torch.cat([torch.zeros_like(delta[:, :1]), delta], 1).cumsum(1)
    start, end = torch.triu_indices(sums.shape[1], sums.shape[1], offset=1)
    return (sums[:, end] - sums[:, start]).square().mean()


def update(optimizer, log_q, log_q_stop, log_r):
    """The modified SubTB loss, its backward pass and the optimizer's step. Returns the loss."""
    loss = modified_subtb_loss(log_q, log_q_stop, log_r)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach()

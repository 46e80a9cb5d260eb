"""The workloads as a careful user writes them with transformers + PEFT: the prompt is shared by hand, the models are the libraries'.

The prompt goes through the model once, and its keys and values are repeated for the samples. Sampling has no gradient; one
teacher-forced pass over all samples has. For infilling the base model still runs once per prefix, after the shared prompt. What is
beyond this (one packed tree, weights packed for oneDNN, a head that keeps no table of logits) is in best.py.
"""

import torch
from torch.nn import functional as F

from workloads import score_with, train_with, update


def run_prompt(model, prompt, samples):
    """log p after the prompt [vocabulary], and its cache, repeated for the samples."""
    output = model(input_ids=prompt[None], use_cache=True, logits_to_keep=1)
    output.past_key_values.batch_repeat_interleave(samples)
    return output.logits[0, -1].float().log_softmax(-1), output.past_key_values


def tables(model, prompt, ids):
    """log p(. | prompt, ids_1:k) for k = 0 to the length of ids [S, n]: one [vocabulary], and [S, n, vocabulary]."""
    first, cache = run_prompt(model, prompt, len(ids))
    return first, model(input_ids=ids, past_key_values=cache, use_cache=True).logits.float().log_softmax(-1)


def log_probs(model, prompt, z, stop):
    """log p of every token [S, n] and of the stop after every prefix [S, n + 1]."""
    first, table = tables(model, prompt, z)
    tokens = torch.cat([first[z[:, :1]], table[:, :-1].gather(-1, z[:, 1:, None])[..., 0]], 1)
    return tokens, torch.cat([first[stop].expand(len(z), 1), table[..., stop]], 1)


def train(model, inputs):
    """W1: forward and backward of the weighted sum of log-probabilities."""
    return train_with(log_probs, model, inputs)


def score(model, inputs):
    """W2: the same log-probabilities under the base model, without gradient."""
    return score_with(log_probs, model, inputs)


@torch.no_grad()
def sample(model, inputs, given=None):
    """W3: tokens and the log-probability of each."""
    samples, length = inputs.z.shape
    first, cache = run_prompt(model, inputs.prompt, samples)
    table = first.expand(samples, -1)
    drawn, tokens = [], []
    for k in range(length):
        ids = torch.multinomial(table.exp(), 1) if given is None else given[:, k : k + 1]
        drawn.append(ids)
        tokens.append(table.gather(-1, ids))
        if k + 1 < length:
            logits = model(input_ids=ids, past_key_values=cache, use_cache=True).logits
            table = logits[:, -1].float().log_softmax(-1)
    return torch.cat(drawn, 1), torch.cat(tokens, 1)


@torch.no_grad()
def continuation_reward(model, inputs, z):
    """log p(z_1:k stop | X) of the base model for every k, [S, n + 1]."""
    with model.disable_adapter():
        tokens, stops = log_probs(model, inputs.prompt, z, inputs.stop)
    return F.pad(tokens.cumsum(1), (1, 0)) + stops


@torch.no_grad()
def infill_reward(model, inputs, z):
    """log p(z_1:k stop Y | X) of the base model for every k, [S, n + 1]: one pass per prefix after the shared prompt."""
    tail = torch.cat([inputs.y.new_tensor([inputs.stop]), inputs.y]).expand(len(z), -1)
    rewards = []
    with model.disable_adapter():
        first, cache = run_prompt(model, inputs.reward_prompt, len(z))
        for k in range(z.shape[1] + 1):
            ids = torch.cat([z[:, :k], tail], 1)
            logits = model(input_ids=ids[:, :-1], past_key_values=cache, use_cache=True).logits
            cache.crop(1 - ids.shape[1])
            after = logits.float().log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
            rewards.append(first[ids[:, 0]] + after.sum(1))
    return torch.stack(rewards, 1)


def step(model, optimizer, inputs, reward, given=None):
    """One whole GFlowNet step with the given reward. Returns the loss and log R."""
    model.eval()
    z = sample(model, inputs)[0] if given is None else given
    log_r = reward(model, inputs, z)
    model.train()
    log_q, log_q_stop = log_probs(model, inputs.prompt, z, inputs.stop)
    return update(optimizer, log_q, log_q_stop, log_r), log_r

"""The workloads as public PyTorch research code runs them: transformers + PEFT, nothing shared by hand.

Every sample is a sequence of its own with its own copy of the prompt. The model returns logits at every position; the
log-softmax is over the whole vocabulary. The steps collect log-probabilities with gradient through the cached decoding loop
itself, score the base model by switching the adapter off, and, for infilling, run one forward of the base model per prefix.
"""

import torch

from workloads import score_with, train_with, update


def repeat_prompt(prompt, samples):
    """The prompt, once per sample, [samples, len]."""
    return prompt[None].expand(samples, -1).contiguous()


def log_probs(model, prompt, z, stop):
    """log p of every token [S, n] and of the stop after every prefix [S, n + 1], from one forward of full sequences."""
    ids = torch.cat([repeat_prompt(prompt, len(z)), z], dim=1)
    logits = model(input_ids=ids, use_cache=False).logits
    table = logits[:, len(prompt) - 1 :].float().log_softmax(-1)
    return table[:, :-1].gather(-1, z[..., None])[..., 0], table[..., stop]


def train(model, inputs):
    """W1: forward and backward of the weighted sum of log-probabilities."""
    return train_with(log_probs, model, inputs)


def score(model, inputs):
    """W2: the same log-probabilities under the base model, without gradient."""
    return score_with(log_probs, model, inputs)


def decode(model, prompt, samples, length, stop, given=None, after_prefix=None):
    """Ancestral sampling with a cache of keys and values; under autograd it carries gradients.

    Returns the tokens, their log-probabilities, and those of the stop after every prefix. `given` forces the
    tokens, for tests. `after_prefix(z)` is called after each prefix, the empty one and the whole one too. Without a
    stop the last token is not fed back, since nothing is asked after it.
    """
    ids, cache = repeat_prompt(prompt, samples), None
    z = ids[:, :0]
    tokens, stops = [], []
    for k in range(length + (stop is not None)):
        output = model(input_ids=ids, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        table = output.logits[:, -1].float().log_softmax(-1)
        if stop is not None:
            stops.append(table[:, stop])
        if after_prefix is not None:
            after_prefix(z)
        if k == length:
            break
        ids = torch.multinomial(table.detach().exp(), 1) if given is None else given[:, k : k + 1]
        tokens.append(table.gather(-1, ids)[:, 0])
        z = torch.cat([z, ids], dim=1)
    return z, torch.stack(tokens, 1), torch.stack(stops, 1) if stops else None


@torch.no_grad()
def sample(model, inputs, given=None):
    """W3: tokens and the log-probability of each."""
    z, tokens, _ = decode(model, inputs.prompt, *inputs.z.shape, stop=None, given=given)
    return z, tokens


@torch.no_grad()
def continuation_reward(model, inputs, z):
    """log p(z_1:k stop | X) of the base model for every k, [S, n + 1]: one forward of full sequences."""
    model.eval()
    with model.disable_adapter():
        tokens, stops = log_probs(model, inputs.prompt, z, inputs.stop)
    model.train()
    return torch.cat([torch.zeros_like(tokens[:, :1]), tokens], 1).cumsum(1) + stops


@torch.no_grad()
def infill_reward(model, inputs, z):
    """log p(z stop Y | X) of the base model for one prefix z, [S]: one forward of full sequences."""
    model.eval()
    tail = torch.cat([inputs.y.new_tensor([inputs.stop]), inputs.y])
    continuation = torch.cat([z, repeat_prompt(tail, len(z))], dim=1)
    ids = torch.cat([repeat_prompt(inputs.reward_prompt, len(z)), continuation], dim=1)
    with model.disable_adapter():
        logits = model(input_ids=ids, use_cache=False).logits
    model.train()
    table = logits[:, len(inputs.reward_prompt) - 1 : -1].float().log_softmax(-1)
    return table.gather(-1, continuation[..., None])[..., 0].sum(1)


def step_continuation(model, optimizer, inputs, given=None):
    """One whole GFlowNet step of the continuation task. Returns the loss and log R."""
    model.train()
    z, log_q, log_q_stop = decode(model, inputs.prompt, *inputs.z.shape, inputs.stop, given)
    log_r = continuation_reward(model, inputs, z)
    return update(optimizer, log_q, log_q_stop, log_r), log_r


def step_infill(model, optimizer, inputs, given=None):
    """One whole GFlowNet step of the infilling task. Returns the loss and log R."""
    model.train()
    rewards = []
    z, log_q, log_q_stop = decode(
        model, inputs.prompt, *inputs.z.shape, inputs.stop, given, lambda z: rewards.append(infill_reward(model, inputs, z))
    )
    log_r = torch.stack(rewards, 1)
    return update(optimizer, log_q, log_q_stop, log_r), log_r

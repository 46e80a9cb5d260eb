"""The workloads in PyTorch at its best: GPT-2 written out on tensors, with everything shared that can be.

Each choice here was the fastest of those tried on two AVX-512 cores, at the benchmark's shape:

- The prompt is a part of the same forward pass and is computed once; all that is not attention sees one matrix of rows.
- Sampling runs without gradient. One teacher-forced pass gives the gradient.
- The frozen weights are packed once for oneDNN, by the operators that torch.compile emits when it freezes a model. The
  public F.linear packs a weight on every call; this saves 5 to 50 % of a product, most with few rows. It costs memory: one
  copy for the forward products, one for the backward ones. The originals are freed.
- Attention is matrix products and a softmax. With so few keys scaled_dot_product_attention is no faster forward, and its
  backward pass takes twice as long in bf16.
- The head runs at the rows that are asked only. Probabilities come from one fused softmax, and the gradient is written into
  them; autograd's way through log_softmax and gather makes three more tables of that size.
- A token is drawn by inverting the cumulative distribution; torch.multinomial takes ten times as long.
- The adapter is not merged for sampling: merging and packing again costs what it saves.
- No torch.compile: with freezing it took 3 % off scoring in bf16, after minutes of compiling for that one shape.
"""

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from workloads import update


def pack(weight, rows):
    """A [out, in] weight in oneDNN's own layout for products of about `rows` rows; as it is where there is no oneDNN."""
    if not torch.backends.mkldnn.is_available():
        return weight
    return torch.ops.mkldnn._reorder_linear_weight(weight, rows)


def packed_linear(x, packed, bias=None):
    """x Wᵀ + bias."""
    if not torch.backends.mkldnn.is_available():
        return F.linear(x, packed, bias)
    return torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")


class FrozenProduct(torch.autograd.Function):
    """A product with a frozen weight, which gets no gradient."""

    @staticmethod
    def forward(ctx, x, frozen):
        ctx.frozen = frozen
        return packed_linear(x, frozen.packed, frozen.bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return packed_linear(grad.contiguous(), ctx.frozen.packed_transpose), None


class Frozen:
    """A frozen linear layer."""

    def __init__(self, weight, bias, rows, train):
        self.packed = pack(weight.contiguous(), rows)
        self.packed_transpose = pack(weight.T.contiguous(), rows) if train else None
        self.bias = bias

    def __call__(self, x):
        return FrozenProduct.apply(x, self)


class Linear:
    """A frozen linear layer with or without a LoRA, taken from a PEFT model, whose own weight is freed."""

    def __init__(self, module, rows, train):
        base = getattr(module, "base_layer", module)
        weight, base.weight = base.weight.detach().T, nn.Parameter(base.weight.new_empty(0), requires_grad=False)
        self.base = Frozen(weight, base.bias.detach(), rows, train)
        self.lora = hasattr(module, "lora_A")
        if self.lora:
            self.a = module.lora_A["default"].weight
            self.b = module.lora_B["default"].weight
            self.scale = module.scaling["default"]
            self.dropout = getattr(module.lora_dropout["default"], "p", 0.0)

    def __call__(self, x, adapter, dropout):
        y = self.base(x)
        if not (self.lora and adapter):
            return y
        if dropout and self.dropout > 0:
            x = F.dropout(x, self.dropout)
        return torch.addmm(y, x @ self.a.T, self.b.T, alpha=self.scale)


class Head(torch.autograd.Function):
    """log p(target | h[row]) for lists of rows and targets.

    The backward pass turns the saved probabilities into the gradient of the logits, so that it can run once.
    """

    @staticmethod
    def forward(ctx, h, rows, targets, frozen):
        p = packed_linear(h, frozen.packed).softmax(-1)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(p, rows, targets)
            ctx.frozen = frozen
        return p[rows, targets].float().log()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        p, rows, targets = ctx.saved_tensors
        total = grad.new_zeros(len(p)).index_add_(0, rows, grad)
        p.mul_(-total[:, None].to(p.dtype)).index_put_((rows, targets), grad.to(p.dtype), accumulate=True)
        return packed_linear(p, ctx.frozen.packed_transpose), None, None, None


def norm(x, module):
    return F.layer_norm(x, module.normalized_shape, module.weight, module.bias, module.eps)


def causal(rows, past, like):
    """An additive mask for `rows` queries whose keys are `past` common ones and then their own."""
    return torch.full((rows, past + rows), float("-inf"), dtype=like.dtype).triu(past + 1)


class Gpt2:
    """GPT-2 on packed weights. `rows` is the number of rows that its products will usually have."""

    def __init__(self, model, rows, train):
        self.source = model.base_model.model.transformer
        self.heads = self.source.config.n_head
        self.wte = self.source.wte.weight.detach()
        self.wpe = self.source.wpe.weight.detach()
        # An empty stand-in for [rows, heads, size], of the precision that masks and buffers need.
        self.like = self.wte.new_empty(0, self.heads, self.wte.shape[1] // self.heads)
        self.head = Frozen(self.wte, None, rows, train)
        self.layers = []
        for block in self.source.h:
            modules = block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj
            self.layers.append((block, *(Linear(module, rows, train) for module in modules)))

    def run(self, ids, positions, attend, adapter, dropout=False):
        """The last hidden states [rows, width]. `attend(layer, q, k, v)` does the attention of [rows, heads, size]."""
        x = self.wte[ids] + self.wpe[positions]
        for i, (block, qkv, out, up, down) in enumerate(self.layers):
            q, k, v = qkv(norm(x, block.ln_1), adapter, dropout).view(len(x), 3, self.heads, -1).unbind(1)
            x = x + out(attend(i, q, k, v).reshape(len(x), -1), adapter, dropout)
            h = F.gelu(up(norm(x, block.ln_2), adapter, dropout), approximate="tanh")
            x = x + down(h, adapter, dropout)
        return norm(x, self.source.ln_f)


def heads_first(x, samples):
    """[samples * n, heads, size] to [samples, heads, n, size]."""
    return x.view(samples, -1, *x.shape[1:]).transpose(1, 2)


def attention(q, k, v, mask):
    """Plain attention; the mask is added."""
    return torch.add(q * q.shape[-1] ** -0.5 @ k.mT, mask).softmax(-1) @ v


class Continuations:
    """Attention in a batch of rows: the prompt, then `samples` continuations of `length` tokens that see it."""

    def __init__(self, prompt, samples, length, like):
        self.sizes = prompt, samples, length
        self.prompt_mask = causal(prompt, 0, like)
        self.mask = causal(length, prompt, like)

    def __call__(self, _, q, k, v):
        prompt, samples, length = self.sizes
        parts = zip(*(x.split([prompt, samples * length]) for x in (q, k, v)))
        (q0, k0, v0), (q1, k1, v1) = parts
        q0, k0, v0 = (heads_first(x, 1) for x in (q0, k0, v0))
        q1, k1, v1 = (heads_first(x, samples) for x in (q1, k1, v1))
        out0 = attention(q0, k0, v0, self.prompt_mask)
        self.keys = torch.cat([k0.expand(samples, -1, -1, -1), k1], 2)
        self.values = torch.cat([v0.expand(samples, -1, -1, -1), v1], 2)
        out1 = attention(q1, self.keys, self.values, self.mask)
        return torch.cat([out0.transpose(1, 2).flatten(0, 1), out1.transpose(1, 2).flatten(0, 1)])


class Infills:
    """The same rows, and then a tail of `tail` tokens after each of the length + 1 prefixes of every continuation."""

    def __init__(self, prompt, samples, length, tail, like):
        self.stem = Continuations(prompt, samples, length, like)
        self.stem_rows = prompt + samples * length
        self.branches, self.tail = length + 1, tail
        # The tail after k tokens sees the prompt and these k, and itself causally.
        seen = torch.arange(length + 1).repeat_interleave(tail) + prompt
        hidden = torch.arange(prompt + length)[None] >= seen[:, None]
        self.mask = torch.zeros(hidden.shape, dtype=like.dtype).masked_fill_(hidden, float("-inf"))
        self.own_mask = causal(tail, 0, like)

    def __call__(self, layer, q, k, v):
        n = self.stem_rows
        samples = self.stem.sizes[1]
        stem = self.stem(layer, q[:n], k[:n], v[:n])
        keys, values = self.stem.keys, self.stem.values
        q, k, v = (heads_first(x[n:], samples) for x in (q, k, v))
        q = q * q.shape[-1] ** -0.5
        branch = lambda x: x.unflatten(2, (self.branches, self.tail))
        own = torch.add(branch(q) @ branch(k).mT, self.own_mask).flatten(2, 3)
        p = torch.cat([torch.add(q @ keys.mT, self.mask), own], -1).softmax(-1)
        common, own = p.split([keys.shape[2], self.tail], -1)
        out = common @ values + (branch(own) @ branch(v)).flatten(2, 3)
        return torch.cat([stem, out.transpose(1, 2).flatten(0, 1)])


class Decoding:
    """Attention while decoding: the prompt's keys and values are kept once, those of the samples in a fixed buffer."""

    def __init__(self, prompt, samples, length, layers, like):
        self.prompt_mask = causal(prompt, 0, like)
        self.shared = []
        heads, size = like.shape[1:]
        self.keys = like.new_empty(layers, samples, heads, length, size)
        self.values = torch.empty_like(self.keys)
        self.step = None

    def __call__(self, layer, q, k, v):
        if self.step is None:
            q, k, v = (heads_first(x, 1)[0] for x in (q, k, v))
            self.shared.append((k.mT.contiguous(), v.contiguous()))
            return attention(q, k, v, self.prompt_mask).transpose(0, 1)
        n = self.step + 1
        self.keys[layer, :, :, self.step] = k
        self.values[layer, :, :, self.step] = v
        q = q * q.shape[-1] ** -0.5
        shared_keys, shared_values = self.shared[layer]
        common = (q.transpose(0, 1) @ shared_keys).transpose(0, 1)
        own = (self.keys[layer, :, :, :n] @ q[..., None])[..., 0]
        p = torch.cat([common, own], -1).softmax(-1)
        common, own = p.split([common.shape[-1], n], -1)
        out = (own[:, :, None] @ self.values[layer, :, :, :n])[:, :, 0]
        return out + (common.transpose(0, 1) @ shared_values).transpose(0, 1)


def ask_prefixes(model, h, z, stop):
    """log p of every token [S, n] and of the stop after every prefix [S, n + 1].

    Row 0 of `h` ends the prompt and row 1 + s n + k is z[s, k].
    """
    samples, n = z.shape
    rows = torch.arange(1, samples * n + 1).view(samples, n)
    rows = F.pad(rows, (1, 0))
    all_rows = torch.cat([rows[:, :-1].flatten(), rows.flatten()])
    targets = torch.cat([z.flatten(), torch.full((rows.numel(),), stop)])
    tokens, stops = Head.apply(h, all_rows, targets, model.head).split([z.numel(), rows.numel()])
    return tokens.view(samples, n), stops.view(samples, n + 1)


def positions_of(prompt, z):
    """Positions of the prompt's rows and of those of the continuations."""
    samples, n = z.shape
    return torch.cat([torch.arange(len(prompt)), torch.arange(n).repeat(samples) + len(prompt)])


def log_probs(model, prompt, z, stop, adapter, dropout=False):
    """The same from one forward pass over the prompt and all continuations."""
    attend = Continuations(len(prompt), *z.shape, model.like)
    h = model.run(torch.cat([prompt, z.flatten()]), positions_of(prompt, z), attend, adapter, dropout)
    return ask_prefixes(model, h[len(prompt) - 1 :], z, stop)


def train(model, parameters, inputs):
    """W1: forward and backward of the weighted sum of log-probabilities. Gradients are left in the parameters."""
    for parameter in parameters:
        parameter.grad = None
    tokens, stops = log_probs(model, inputs.prompt, inputs.z, inputs.stop, adapter=True)
    loss = (inputs.token_weights * tokens).sum() + (inputs.stop_weights * stops).sum()
    loss.backward()
    return tokens.detach(), stops.detach()


@torch.no_grad()
def score(model, inputs):
    """W2: the same log-probabilities under the base model, without gradient."""
    return log_probs(model, inputs.prompt, inputs.z, inputs.stop, adapter=False)


def draw(h, head, given):
    """Tokens [S] after the hidden states [S, width], or the `given` ones, and their log-probabilities."""
    p = packed_linear(h, head.packed).softmax(-1)
    if given is None:
        sums = p.cumsum(-1, dtype=torch.float32)
        z = torch.searchsorted(sums, torch.rand(len(p), 1) * sums[:, -1:], right=True).clamp_max_(p.shape[1] - 1)
    else:
        z = given[:, None]
    return z[:, 0], p.gather(1, z)[:, 0].float().log()


@torch.no_grad()
def sample(model, inputs, given=None):
    """W3: tokens and the log-probability of each. Without dropout."""
    prompt, (samples, length) = inputs.prompt, inputs.z.shape
    attend = Decoding(len(prompt), samples, length, len(model.layers), model.like)
    h = model.run(prompt, torch.arange(len(prompt)), attend, adapter=True)[-1:].expand(samples, -1).contiguous()
    drawn = []
    for k in range(length):
        drawn.append(draw(h, model.head, None if given is None else given[:, k]))
        if k + 1 < length:
            attend.step = k
            h = model.run(drawn[-1][0], torch.tensor(len(prompt) + k), attend, adapter=True)
    z, tokens = zip(*drawn)
    return torch.stack(z, 1), torch.stack(tokens, 1)


@torch.no_grad()
def continuation_reward(model, inputs, z):
    """log p(z_1:k stop | X) of the base model for every k, [S, n + 1]."""
    tokens, stops = log_probs(model, inputs.prompt, z, inputs.stop, adapter=False)
    return F.pad(tokens.cumsum(1), (1, 0)) + stops


@torch.no_grad()
def infill_reward(model, inputs, z, chunk=512):
    """log p(z_1:k stop Y | X) of the base model for every k, [S, n + 1]: one forward pass of a tree.

    A copy of `stop Y` (its last token is not an input) follows every prefix: the branches of the continuations.
    """
    prompt, (samples, n) = inputs.reward_prompt, z.shape
    tail = torch.cat([inputs.y.new_tensor([inputs.stop]), inputs.y[:-1]])
    m, branches = len(tail), samples * (n + 1)
    tail_positions = (torch.arange(n + 1)[:, None] + torch.arange(m) + len(prompt)).flatten()
    ids = torch.cat([prompt, z.flatten(), tail.repeat(branches)])
    positions = torch.cat([positions_of(prompt, z), tail_positions.repeat(samples)])
    h = model.run(ids, positions, Infills(len(prompt), samples, n, m, model.like), adapter=False)

    stem, tails = h[len(prompt) - 1 :].split([1 + z.numel(), branches * m])
    tokens, stops = ask_prefixes(model, stem, z, inputs.stop)
    # The table of probabilities of all tails at once would be of a gigabyte.
    after = [
        Head.apply(rows, torch.arange(len(rows)), targets, model.head)
        for rows, targets in zip(tails.split(chunk), inputs.y.repeat(branches).split(chunk))
    ]
    return F.pad(tokens.cumsum(1), (1, 0)) + stops + torch.cat(after).view(samples, n + 1, m).sum(2)


def step(model, optimizer, inputs, reward, given=None):
    """One whole GFlowNet step with the given reward. Returns the loss and log R."""
    z = sample(model, inputs)[0] if given is None else given
    log_r = reward(model, inputs, z)
    log_q, log_q_stop = log_probs(model, inputs.prompt, z, inputs.stop, adapter=True, dropout=True)
    return update(optimizer, log_q, log_q_stop, log_r), log_r

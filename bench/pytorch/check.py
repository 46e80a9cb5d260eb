"""Checks that all ways of running PyTorch compute the same: log-probabilities, gradients, rewards, losses, updates.

At a tiny shape in f32 without dropout, where rounding is all that may differ. Prints the largest differences, relative to the
largest value; fails if one is too large.
"""

import copy
from dataclasses import replace

import torch

import best
import shared
import usual
from workloads import LARGE, SMALL, Shape, make_inputs, make_model

SHAPE = Shape(layers=2, width=32, heads=4, vocabulary=61, context=64, prompt=7, samples=5, length=6, y=4, eos=60, full_stop=13)
TOLERANCE = 2e-5


def compare(name, ours, theirs, tolerance=TOLERANCE):
    """Prints the relative difference of two tensors; fails beyond the tolerance."""
    assert ours.shape == theirs.shape, f"{name}: {tuple(ours.shape)} and {tuple(theirs.shape)}"
    difference = ((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30)).item()
    print(f"{name:32} {difference:.1e}")
    if not difference < tolerance:
        raise SystemExit(f"{name} differs by more than {tolerance}")


def trained(model):
    """The adapter's parameters by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def pair(lora, stop, precision="f32"):
    """A model to run as usual, the same for `best`, and inputs. Weights large enough for attention to matter."""
    models = []
    for _ in range(2):
        model = make_model(SHAPE, replace(lora, dropout=0.0, rank=4), precision)
        with torch.no_grad():
            for parameter in model.parameters():
                noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
                parameter.add_(noise.to(parameter.dtype), alpha=0.2)
        models.append(model)
    return models[0], models[1], best.Gpt2(models[1], rows=37, train=True), make_inputs(SHAPE, stop)


def compare_all(name, ours, theirs, tolerance=TOLERANCE):
    """Compares tensors by name."""
    assert ours.keys() == theirs.keys() and ours
    flat = lambda tensors: torch.cat([tensors[key].flatten() for key in sorted(tensors)])
    compare(name, flat(ours), flat(theirs), tolerance)


def check_draws(fast):
    """That tokens are drawn as often as their probabilities say."""
    h, count = torch.randn(1, SHAPE.width), 200_000
    z, log_p = best.draw(h.expand(count, -1).contiguous(), fast.head, None)
    p = best.packed_linear(h, fast.head.packed).softmax(-1)[0]
    compare("draws: log-probabilities", log_p, p[z].log())
    deviation = (z.bincount(minlength=len(p)) - count * p) / (count * p * (1 - p)).sqrt().clamp_min(1)
    print(f"{'draws: worst deviation':32} {deviation.abs().max():.1f} sigma")
    if deviation.abs().max() > 5:
        raise SystemExit("tokens are not drawn with their probabilities")


def check_bf16():
    """That bf16 is no worse than its rounding, on both sides alike."""
    plain, owner, fast, inputs = pair(SMALL, SHAPE.eos, "bf16")
    ours, theirs = best.train(fast, list(trained(owner).values()), inputs), usual.train(plain, inputs)
    compare("bf16: tokens", ours[0], theirs[0], 0.05)
    gradients = [{name: parameter.grad for name, parameter in trained(model).items()} for model in (owner, plain)]
    compare_all("bf16: gradients", *gradients, 0.1)
    compare("bf16: sampled", best.sample(fast, inputs, given=inputs.z)[1], ours[0], 0.05)


def check_shared(model, inputs):
    """That a prompt shared by hand changes nothing but the time."""
    for i, name in enumerate(["tokens", "stops"]):
        compare(f"shared: {name} scored", shared.score(model, inputs)[i], usual.score(model, inputs)[i])
    ours, theirs = [], []
    for side, found in [(shared, ours), (usual, theirs)]:
        found.extend(side.train(model, inputs))
        found.append({name: parameter.grad for name, parameter in trained(model).items()})
    for i, name in enumerate(["tokens", "stops"]):
        compare(f"shared: {name}", ours[i], theirs[i])
    compare_all("shared: gradients", ours[2], theirs[2])
    given = usual.sample(model, inputs, given=inputs.z)[1]
    compare("shared: sampled", shared.sample(model, inputs, given=inputs.z)[1], given)


def main():
    plain, owner, fast, inputs = pair(SMALL, SHAPE.eos)
    check_shared(plain, inputs)
    for i, name in enumerate(["tokens", "stops"]):
        compare(f"score: {name}", best.score(fast, inputs)[i], usual.score(plain, inputs)[i])
    ours, theirs = best.train(fast, list(trained(owner).values()), inputs), usual.train(plain, inputs)
    for i, name in enumerate(["tokens", "stops"]):
        compare(f"train: {name}", ours[i], theirs[i])
    gradients = [{name: parameter.grad for name, parameter in trained(model).items()} for model in (owner, plain)]
    compare_all("train: gradients", *gradients)
    compare("sample: tokens", best.sample(fast, inputs, given=inputs.z)[1], usual.sample(plain, inputs, given=inputs.z)[1])
    # What sampling says of its own draws is what scoring says of them.
    for name, (z, tokens) in {"best": best.sample(fast, inputs), "usual": usual.sample(plain, inputs)}.items():
        scored = best.log_probs(fast, inputs.prompt, z, inputs.stop, adapter=True)[0].detach()
        compare(f"sample: {name}'s own draws", tokens, scored)
    check_draws(fast)

    rewards = {"continuation": best.continuation_reward, "infill": best.infill_reward}
    for task, reward in rewards.items():
        plain, owner, fast, inputs = pair(LARGE, SHAPE.full_stop)
        # The update is the gradient: AdamW's first step is only its sign, which rounding may turn.
        optimizers = [torch.optim.SGD(trained(model).values(), lr=1.0) for model in (owner, plain)]
        before = {name: parameter.detach().clone() for name, parameter in trained(plain).items()}
        ours = best.step(fast, optimizers[0], inputs, reward, given=inputs.z)
        by_hand = copy.deepcopy(plain)
        optimizer = torch.optim.SGD(trained(by_hand).values(), lr=1.0)
        third = shared.step(by_hand, optimizer, inputs, getattr(shared, f"{task}_reward"), given=inputs.z)
        theirs = getattr(usual, f"step_{task}")(plain, optimizers[1], inputs, given=inputs.z)
        compare(f"shared: step-{task}: log R", third[1], theirs[1])
        compare(f"shared: step-{task}: loss", third[0], theirs[0])
        compare(f"step-{task}: log R", ours[1], theirs[1])
        compare(f"step-{task}: loss", ours[0], theirs[0])
        change = [
            {name: p.detach() - before[name] for name, p in trained(model).items()} for model in (owner, plain, by_hand)
        ]
        compare_all(f"step-{task}: update", *change[:2])
        compare_all(f"shared: step-{task}: update", *change[1:])
    check_bf16()
    print("all agree")


if __name__ == "__main__":
    main()

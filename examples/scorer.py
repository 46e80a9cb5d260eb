"""A reward of your own in Python: likes short words, and wants no word twice.

amortize starts this program and writes one JSON line for every training step to its standard input:

    {"id": 1, "items": [{"x": "Lily ran.", "y": null, "z": " She was happy"}, ...]}

The answer is one line on standard output, with log R of every item in nats, and null where the reward is zero:

    {"id": 1, "log_rewards": [-0.5, ...]}

Items are every beginning of every text, for each could be where a text ends: Z comes without its stop. What is printed for
people belongs on standard error.
"""

import json
import sys


def log_reward(x, y, z):
    """Half a nat for every letter of a word beyond the fourth; nothing at all for a repeated word."""
    words = [word.strip('.,!?"').lower() for word in z.split()]
    if len(set(words)) < len(words):
        return None
    return -0.5 * sum(max(0, len(word) - 4) for word in words)


for line in sys.stdin:
    request = json.loads(line)
    log_rewards = [log_reward(**item) for item in request["items"]]
    print(json.dumps({"id": request["id"], "log_rewards": log_rewards}), flush=True)

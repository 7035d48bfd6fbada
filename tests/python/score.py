#!/usr/bin/env python3
"""Scores a catalogue in PyTorch from the files of a model version, as the scorer does: the round trip out of Rust.

  pip install torch==2.9.0 transformers==4.57.1 safetensors numpy
  score.py ARTIFACTS/models/VERSION ARTIFACTS/backbones/ID --user USER ITEM ITEM …      (items in prompt order)

Prints one JSON line for each of the ten best items outside of the history: id, title, score.
"""
import argparse, json, os
import torch
from safetensors.torch import load_file
from transformers import GPT2Model

arguments = argparse.ArgumentParser()
arguments.add_argument("model"), arguments.add_argument("backbone"), arguments.add_argument("items", nargs="*")
arguments.add_argument("--user"), arguments.add_argument("-k", type=int, default=10)
a = arguments.parse_intermixed_args()

read = lambda name: open(os.path.join(a.model, name), encoding="utf-8")
manifest, users, items = json.load(read("model.json")), json.load(read("users.json")), [json.loads(l) for l in read("items.jsonl")]
tables = load_file(os.path.join(a.model, "tables.safetensors"))
gpt2 = GPT2Model.from_pretrained(a.backbone).eval()
rows = [[item["id"] for item in items].index(item) for item in a.items]
token = manifest["known_user" if a.user in users else "new_user"]  # own row, none, or the mean of all rows
user = {"own": lambda: tables["collaborative.users"][users.index(a.user)][None], "absent": lambda: torch.empty(0, gpt2.config.n_embd),
        "mean": lambda: tables["collaborative.users"].mean(0, keepdim=True)}[token]()
word = lambda *ids: gpt2.wte(torch.tensor(ids))
history = tables["collaborative.items"][rows]
prompt = torch.cat([user, word(468, 49236, 351), history, word(11), user, word(481, 9427, 351)])  # "has interacted with … , … will interact with"
with torch.no_grad():
    state = gpt2(inputs_embeds=prompt[None]).last_hidden_state[0, -1]
scores = tables["collaborative.items"] @ state

weight = manifest["light_weight"]
if weight > 0:  # a hybrid: both models' scores with mean 0 and variance 1
    standard = lambda s: (s - s.mean()) / s.std(unbiased=False) if s.std(unbiased=False) > 0 else s * 0
    light, sums = load_file(os.path.join(a.model, "light.safetensors")), torch.zeros_like(scores)
    for row in rows:
        span = slice(light["offsets"][row], light["offsets"][row + 1])
        sums.index_add_(0, light["items"][span].long(), light["values"][span])
    scores = (1 - weight) * standard(scores) + weight * standard(sums)

scores[rows] = -torch.inf
for row in scores.sort(descending=True, stable=True).indices[: a.k].tolist():
    print(json.dumps({"item": items[row]["id"], "title": items[row]["title"], "score": scores[row].item()}))

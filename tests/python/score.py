#!/usr/bin/env python3
"""Scores a catalogue in PyTorch from the files of a model version, as the scorer does, whatever its decoder is: the round trip out of Rust.

  pip install torch==2.9.0 transformers==4.57.1 safetensors numpy
  score.py ARTIFACTS/models/VERSION ARTIFACTS/backbones/ID --user USER ITEM ITEM …      (items in prompt order)

Prints one JSON line for each of the ten best items outside of the history: id, title, score. With `--against FILE` (`-`: standard
input), FILE being what `cllm4rec recommend USER --history ITEM,ITEM,… --version VERSION --json` wrote, it compares its own scores with
those that were served, and ends with 1 where one is off by more than 1e-4 of the largest.
"""
import argparse, json, os, sys
import torch
from safetensors.torch import load_file
from tokenizers import ByteLevelBPETokenizer, Tokenizer
from transformers import AutoConfig, AutoModel

TOLERANCE = 1e-4
MOST_POSITIONS = 1 << 17  # longer prompts than this are not computed, whatever the decoder was made for

arguments = argparse.ArgumentParser()
arguments.add_argument("model"), arguments.add_argument("backbone"), arguments.add_argument("items", nargs="*")
arguments.add_argument("--user"), arguments.add_argument("-k", type=int, default=10), arguments.add_argument("--against")
a = arguments.parse_intermixed_args()


def read_tokenizer(folder):
    """The backbone's own tokenizer.json; a GPT-2 without one has GPT-2's, which are the program's own files."""
    path = os.path.join(folder, "tokenizer.json")
    if os.path.exists(path):
        tokenizer = Tokenizer.from_file(path)
        tokenizer.no_truncation(), tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # what looks like a special token in a text is text
        return tokenizer
    assets = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../shared/model/assets")
    return ByteLevelBPETokenizer(os.path.join(assets, "vocab.json"), os.path.join(assets, "merges.txt"))


def first_word(config):
    """The word in front of every prompt: where config.json says so (GGUF files do), or the decoder is a Llama 3."""
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    is_llama_3 = rope.get("rope_type", rope.get("type")) == "llama3"
    begins = getattr(config, "begins_with_bos", None)
    begins = is_llama_3 if begins is None else begins
    return [config.bos_token_id] if begins and config.bos_token_id is not None and config.model_type != "gpt2" else []


read = lambda name: open(os.path.join(a.model, name), encoding="utf-8")
manifest, users, items = json.load(read("model.json")), json.load(read("users.json")), [json.loads(l) for l in read("items.jsonl")]
tables = load_file(os.path.join(a.model, "tables.safetensors"))
config = AutoConfig.from_pretrained(a.backbone)
decoder = AutoModel.from_pretrained(a.backbone, dtype=torch.float32, attn_implementation="eager").eval()
tokenizer = read_tokenizer(a.backbone)
encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids

# BOS, "USER has interacted with ITEM ITEM … , USER will interact with": each segment of text by itself.
bos, has, comma, will = first_word(config), encode(" has interacted with"), encode(","), encode(" will interact with")
places = {item["id"]: row for row, item in enumerate(items)}
if strange := [item for item in a.items if item not in places]:
    sys.exit(f"the version does not know {', '.join(strange)}: leave them out, as the scorer does")
history = [places[item] for item in a.items]
known = a.user in users
token = manifest["known_user" if known else "new_user"]  # own row, none, or the mean of all rows
user = {"own": lambda: tables["collaborative.users"][users.index(a.user)][None], "absent": lambda: torch.empty(0, config.hidden_size),
        "mean": lambda: tables["collaborative.users"].mean(0, keepdim=True)}[token]()
n_most = min(config.max_position_embeddings, MOST_POSITIONS) - 2 - sum(map(len, (bos, has, comma, will)))
rows = history[max(0, len(history) - n_most):]  # the latest that fit
words = lambda ids: decoder.get_input_embeddings()(torch.tensor(ids, dtype=torch.long))
prompt = torch.cat([words(bos), user, words(has), tables["collaborative.items"][rows], words(comma), user, words(will)])
with torch.no_grad():
    state = decoder(inputs_embeds=prompt[None], use_cache=False).last_hidden_state[0, -1]
scores = tables["collaborative.items"] @ state

weight = manifest["light_weight"]
if not known and not history:  # a stranger without a history gets what is popular
    counts = torch.tensor(json.load(read("popularity.json")), dtype=torch.float64)
    scores = (counts / counts.sum()).float()
elif weight > 0:  # a hybrid: both models' scores with mean 0 and variance 1
    standard = lambda s: ((s.double() - s.double().mean()) / s.double().std(unbiased=False)).float() if s.std(unbiased=False) > 0 else s * 0
    light, sums = load_file(os.path.join(a.model, "light.safetensors")), torch.zeros_like(scores)
    for row in history:
        span = slice(light["offsets"][row], light["offsets"][row + 1])
        sums.index_add_(0, light["items"][span].long(), light["values"][span])
    weight = 0 if (sums == sums[0]).all() else weight  # it knows nothing of this user
    unknown = light["offsets"][1:] == light["offsets"][:-1]  # items that it does not know are the language model's alone
    scores = torch.where(unknown, standard(scores), (1 - weight) * standard(scores) + weight * standard(sums))

if a.against:
    served = json.load(sys.stdin if a.against == "-" else open(a.against, encoding="utf-8"))["items"]
    pairs = [(item["score"], scores[places[item["item_id"]]].item()) for item in served]
    off = max(abs(there - here) for there, here in pairs) / max(abs(there) for there, _ in pairs)
    print(json.dumps({"decoder": config.model_type, "prompt_tokens": len(prompt), "items": len(pairs), "off": off}))
    sys.exit(0 if off <= TOLERANCE else f"scores are off by {off:.2g} of the largest, more than {TOLERANCE}")

scores[history] = -torch.inf
for row in scores.sort(descending=True, stable=True).indices[: a.k].tolist():
    print(json.dumps({"item": items[row]["id"], "title": items[row]["title"], "score": scores[row].item()}))

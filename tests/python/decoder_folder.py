#!/usr/bin/env python3
"""Writes folders of reference numbers of the same form as shared/model/tests/decoders, of random decoders of other sizes: computed by
PyTorch and transformers, every document alone and unpadded, so that nothing in our tests can rest on the sizes that ship.

  pip install torch==2.9.0 transformers==4.57.1 safetensors numpy
  decoder_folder.py FOLDER --seed 1 && CLLM4REC_DECODERS=FOLDER cargo test --release -p model --test decoders --test properties
"""
import argparse, json, os
import numpy as np, torch, torch.nn.functional as F
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

arguments = argparse.ArgumentParser()
arguments.add_argument("folder"), arguments.add_argument("--seed", type=int, default=1)
a = arguments.parse_args()
torch.manual_seed(a.seed)
rng = np.random.default_rng(a.seed)
draw = lambda low, high: int(rng.integers(low, high))
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}


def config(kind):
    """A decoder of random sizes."""
    words, positions, layers = draw(20, 90), draw(40, 80), draw(1, 4)
    if kind == "gpt2":
        heads = draw(1, 5)
        return GPT2Config(vocab_size=words, n_positions=positions, n_embd=heads * 2 * draw(3, 9), n_layer=layers, n_head=heads)
    groups, per_group, head_dim = draw(1, 4), draw(1, 4), 2 * draw(2, 12)
    heads = groups * per_group
    width = heads * head_dim
    sizes = dict(vocab_size=words, hidden_size=width, intermediate_size=draw(10, 120), num_hidden_layers=layers,
                 num_attention_heads=heads, num_key_value_heads=groups, max_position_embeddings=positions, rms_norm_eps=1e-5,
                 rope_theta=float(rng.uniform(100, 1e6)), tie_word_embeddings=bool(draw(0, 2)), initializer_range=2 / width**0.5)
    if kind == "llama": return LlamaConfig(**sizes, head_dim=head_dim, attention_bias=bool(draw(0, 2)))
    if kind == "llama3": return LlamaConfig(**sizes, head_dim=head_dim, rope_scaling=LLAMA3)
    if kind == "mistral": return MistralConfig(**sizes, head_dim=head_dim, sliding_window=None)
    if kind == "qwen2": return Qwen2Config(**sizes)
    return Qwen3Config(**(sizes | {"hidden_size": draw(3, 40) * 2}), head_dim=head_dim)


def write(kind):
    """One folder: the decoder, what goes in, and what comes out."""
    lm = AutoModelForCausalLM.from_config(config(kind), attn_implementation="eager").eval().float()
    for p in lm.parameters():
        p.requires_grad = False
        p.add_(torch.randn_like(p) * 0.05)  # biases and norms away from their trivial start
    V, K, I, J = lm.config.vocab_size, lm.config.hidden_size, draw(3, 30), draw(6, 60)
    head = lm.get_output_embeddings().weight
    table = lambda n: (torch.randn(n, K) * 0.1).requires_grad_()
    tables = {m: {"users": table(I), "items": table(J)} for m in ("content", "collaborative")}
    out = {f"{m}.{s}": t.detach().clone() for m, pair in tables.items() for s, t in pair.items()}
    user, item, word = lambda: V + draw(0, I), lambda: V + I + draw(0, J), lambda: draw(0, V)
    sizes = {"users": I, "items": J, "words": V, "embed": K}

    def hidden(model, ids):
        rows = torch.cat([lm.get_input_embeddings().weight, tables[model]["users"], tables[model]["items"]])
        return lm.base_model(inputs_embeds=rows[torch.tensor(ids)][None], use_cache=False).last_hidden_state[0]

    def put(stage, model, loss):
        grads = torch.autograd.grad(loss, list(tables[model].values()), allow_unused=True)
        out[f"{stage}.loss"] = loss.detach().reshape(1)
        for (side, rows), g in zip(tables[model].items(), grads): out[f"{stage}.grad.{side}"] = torch.zeros_like(rows) if g is None else g

    ids = torch.tensor(rng.integers(0, V, (draw(1, 5), draw(3, 15))))
    with torch.no_grad():
        h = lm.base_model(ids, use_cache=False).last_hidden_state
        out |= {"decoder.input_ids": ids, "decoder.last_hidden": h, "decoder.logits": h @ head.T}

    for model in tables:
        documents = []
        for _ in range(draw(2, 7)):
            prompt = [user(), word(), item(), word()] if model == "content" else [user(), word()]
            documents.append([prompt, [word() if model == "content" else item() for _ in range(draw(2, 10))]])
        losses, count = 0, 0
        for prompt, main in documents:
            logits = hidden(model, prompt + main)[len(prompt):-1] @ (head if model == "content" else tables[model]["items"]).T
            targets = torch.tensor(main[1:]) - (0 if model == "content" else V + I)
            losses, count = losses + F.cross_entropy(logits, targets, reduction="sum"), count + len(targets)
        sizes[model] = documents
        put(model, model, losses / count)

    prompts = [[u := user(), word()] + [item() for _ in range(draw(0, 8))] + [word(), u, word()] for _ in range(draw(2, 7))]
    targets = [sorted(rng.choice(J, draw(1, 6), replace=False).tolist()) for _ in prompts]
    log_probs = F.log_softmax(torch.stack([hidden("collaborative", p)[-1] for p in prompts]) @ tables["collaborative"]["items"].T, -1)
    out["recommend.item_log_probs"] = log_probs.detach()
    put("recommend", "collaborative", -sum(row[t].sum() for row, t in zip(log_probs, targets)) / len(prompts))
    sizes |= {"prompts": prompts, "targets": targets}

    folder = os.path.join(a.folder, f"{kind}-{a.seed}")
    lm.save_pretrained(os.path.join(folder, "backbone"))
    json.dump(sizes, open(os.path.join(folder, "reference.json"), "w"))
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(folder, "reference.safetensors"))
    print(folder, {k: sizes[k] for k in ("users", "items", "words", "embed")})


for kind in ("gpt2", "llama", "llama3", "mistral", "qwen2", "qwen3"): write(kind)

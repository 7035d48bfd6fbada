#!/usr/bin/env python3
"""Writes a folder of reference numbers of the same form as shared/model/tests/parity, of other sizes: computed by PyTorch
and transformers with the paper's losses, so that nothing in our parity test can rest on the sizes that ship.

  pip install torch==2.9.0 transformers==4.57.1 safetensors numpy
  parity_folder.py FOLDER --seed 1 && CLLM4REC_PARITY=FOLDER cargo test --release -p model --test parity
"""
import argparse, json, math, os, shutil
import numpy as np, torch, torch.nn.functional as F
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

arguments = argparse.ArgumentParser()
arguments.add_argument("folder"), arguments.add_argument("--seed", type=int, default=1)
a = arguments.parse_args()
torch.manual_seed(a.seed)
rng = np.random.default_rng(a.seed)
draw = lambda low, high: int(rng.integers(low, high))
I, J, V, LAYERS, HEADS = draw(3, 30), draw(5, 60), draw(20, 90), draw(1, 5), draw(1, 5)
K, BATCH, LAM = HEADS * 2 * draw(3, 9), draw(2, 9), float(rng.uniform(0.1, 2))
config = GPT2Config(vocab_size=V, n_positions=draw(40, 80), n_embd=K, n_layer=LAYERS, n_head=HEADS, resid_pdrop=0, embd_pdrop=0,
                    attn_pdrop=0, attn_implementation="eager", bos_token_id=0, eos_token_id=0)
lm = GPT2LMHeadModel(config).eval()
with torch.no_grad():
    for p in lm.parameters(): p.add_(torch.randn_like(p) * 0.05)  # biases and norms away from their trivial start
for p in lm.parameters(): p.requires_grad = False
os.makedirs(a.folder, exist_ok=True)
lm.save_pretrained(os.path.join(a.folder, "backbone"))
table = lambda n: (torch.randn(n, K) * 0.1).requires_grad_()
tables = {m: {"users": table(I), "items": table(J)} for m in ("content", "collaborative")}
out = {f"{m}.{s}": t.detach().clone() for m, pair in tables.items() for s, t in pair.items()} | {"lambda": torch.tensor([LAM])}
i32 = lambda x: torch.tensor(x, dtype=torch.int32)
user, item = lambda: V + draw(0, I), lambda: V + I + draw(0, J)

def hidden(model, ids, mask):
    rows = torch.cat([lm.transformer.wte.weight, tables[model]["users"], tables[model]["items"]])
    return lm.transformer(inputs_embeds=F.embedding(ids.long(), rows), attention_mask=mask.long()).last_hidden_state

def pad(rows):
    width = max(map(len, rows)) + 1
    return i32([r + [0] * (width - len(r)) for r in rows]), i32([[1] * len(r) + [0] * (width - len(r)) for r in rows])

def both(name, model, loss, soft):
    """Loss and gradients without and with mutual regularisation over the soft tokens' positions."""
    own, other = tables[model], tables["collaborative" if model == "content" else "content"]
    distance = sum(((own["users"][s - V] - other["users"][s - V].detach()) if s < V + I else
                    (own["items"][s - V - I] - other["items"][s - V - I].detach())).pow(2).sum() for s in soft)
    for prefix, value in ((name, loss), (name + ".regularized", loss + LAM * distance)):
        grads = torch.autograd.grad(value, list(own.values()), retain_graph=True, allow_unused=True)
        out[prefix + ".loss"] = value.detach().reshape(1)
        for side, g in zip(own, grads): out[f"{prefix}.grad.{side}"] = torch.zeros_like(own[side]) if g is None else g
    out[name + ".regularized.regularizer"] = (LAM * distance).detach().reshape(1)

ids = i32(rng.integers(0, V, (draw(1, 5), draw(3, 15))).tolist())
with torch.no_grad():
    out["gpt2.input_ids"], h = ids, lm.transformer(ids.long()).last_hidden_state
    out["gpt2.last_hidden"], out["gpt2.logits"] = h, h @ lm.transformer.wte.weight.T

for model in ("content", "collaborative"):
    prompts = [[user(), draw(0, V), item(), draw(0, V)] if model == "content" else [user(), draw(0, V)] for _ in range(BATCH)]
    mains = [[draw(0, V) if model == "content" else item() for _ in range(draw(2, 10))] for _ in range(BATCH)]
    (p_ids, p_mask), (m_ids, m_mask) = pad(prompts), pad(mains)
    losses, count = 0, 0
    for p, m in zip(prompts, mains):
        h = hidden(model, i32([p + m]), torch.ones(1, len(p) + len(m)))[0, len(p):-1]
        logits = h @ (lm.transformer.wte.weight if model == "content" else tables[model]["items"]).T
        targets = torch.tensor(m[1:]) - (0 if model == "content" else V + I)
        losses, count = losses + F.cross_entropy(logits, targets, reduction="sum"), count + len(targets)
    out |= {f"{model}.prompt_ids": p_ids, f"{model}.main_ids": m_ids, f"{model}.mask": torch.cat([p_mask, m_mask], 1)}
    both(model, model, losses / count, [t for r in prompts + mains for t in r if t >= V])

prompts = [[u := user(), draw(0, V)] + [item() for _ in range(draw(0, 8))] + [draw(0, V), u, draw(0, V)] for _ in range(BATCH)]
(p_ids, p_mask) = pad(prompts)
targets = torch.zeros(BATCH, J)
for row in targets: row[rng.choice(J, draw(1, min(J, 8)), replace=False)] = 1
def recommend():
    scores = [hidden("collaborative", i32([p]), torch.ones(1, len(p)))[0, -1] @ tables["collaborative"]["items"].T for p in prompts]
    log_probs = F.log_softmax(torch.stack(scores), -1)
    return log_probs, -(targets * log_probs).sum() / BATCH
log_probs, loss = recommend()
wanted = [V + I + j for row in targets for j in row.nonzero().flatten().tolist()]
both("recommend", "collaborative", loss, [t for p in prompts for t in p if t >= V] + wanted)
out |= {"recommend.input_ids": p_ids, "recommend.mask": p_mask, "recommend.targets": targets, "recommend.item_log_probs": log_probs.detach()}

adam, losses = torch.optim.Adam(tables["collaborative"].values(), lr=1e-2), []
for _ in range(10):
    adam.zero_grad(); _, loss = recommend(); loss.backward(); adam.step(); losses.append(loss.item())
out |= {"adam.losses": torch.tensor(losses), "adam.users": tables["collaborative"]["users"].detach(), "adam.items": tables["collaborative"]["items"].detach()}

n, m = draw(5, 30), draw(101, 180)
scores, seen, truth = torch.randn(n, m), torch.rand(n, m) < 0.2, torch.rand(n, m) < 0.05
truth &= ~seen
out |= {"metrics.scores": scores, "metrics.seen": seen.int(), "metrics.truth": truth.float()}
metrics = {"recall@20": [], "recall@40": [], "ndcg@100": []}
for s, se, t in zip(scores, seen, truth):
    if not t.any(): continue
    hit = t[s.masked_fill(se, -math.inf).sort(descending=True).indices].float()
    for k in (20, 40): metrics[f"recall@{k}"].append(hit[:k].sum().item() / min(k, int(t.sum())))
    gain = 1 / torch.arange(2, 102).double().log2()
    metrics["ndcg@100"].append(((hit[:100] * gain).sum() / gain[: min(100, int(t.sum()))].sum()).item())
sizes = {"seed": a.seed, "users": I, "items": J, "vocab": V, "n_embd": K, "n_layer": LAYERS, "n_head": HEADS, "n_positions": config.n_positions,
         "batch": BATCH, "lambda": LAM, "metrics": {k: float(np.mean(v)) for k, v in metrics.items()}}
json.dump(sizes, open(os.path.join(a.folder, "reference.json"), "w"), indent=1)
save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(a.folder, "reference.safetensors"))
here = os.path.dirname(os.path.abspath(__file__))
shutil.copy(os.path.join(here, "../../shared/model/tests/parity/tokenizer_cases.json"), a.folder)
print(json.dumps(sizes))

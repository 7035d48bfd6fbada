#!/usr/bin/env python3
"""Known-item search: does a query find the item that a review is about? A tenth of the reviews of a data set is kept out; the first sentence of each is
a query for the item that it was written about.

  pip install grpcio grpcio-tools
  known_items.py prepare DATA FOLDER            # DATA without these reviews in FOLDER, and the queries in FOLDER/queries.jsonl
  cllm4rec dataset import FOLDER                # then train a job on it and serve it
  known_items.py ask FOLDER --address 127.0.0.1:7070

Prints Recall@20 for BM25 (k1 = 1.5, b = .75, over titles, categories and the remaining reviews), for queries alone, and for queries beside the history of
the review's author without the reviewed item; once for every second query, by which settings may be chosen, and once for the others.
"""
import argparse, collections, csv, gzip, json, math, os, random, re, shutil, sys, tempfile

words = lambda text: re.findall(r"\w+", text.lower())


def lines(folder, name):
    for path, opened in ((name, open), (name + ".gz", gzip.open)):
        path = os.path.join(folder, path)
        if os.path.exists(path): return [json.loads(line) for line in opened(path, "rt", encoding="utf-8")]
    return []


def interactions(folder):
    path = os.path.join(folder, "interactions.csv")
    opened = open(path, encoding="utf-8") if os.path.exists(path) else gzip.open(path + ".gz", "rt", encoding="utf-8")
    return list(csv.DictReader(opened))


def prepare(data, folder, seed):
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(data):
        if name.split(".")[0] in ("interactions", "items"): shutil.copy(os.path.join(data, name), folder)
    known = {row["item_id"] for row in interactions(data)}
    rng = random.Random(seed)
    with gzip.open(os.path.join(folder, "reviews.jsonl.gz"), "wt", encoding="utf-8") as kept, open(os.path.join(folder, "queries.jsonl"), "w") as queries:
        for review in lines(data, "reviews.jsonl"):
            if review["item_id"] not in known or rng.random() >= 0.1:
                kept.write(json.dumps(review) + "\n")
                continue
            query = re.split(r"(?<=[.!?])\s", review["text"].strip())[0]
            while len(query.encode()) > 1024: query = query.rsplit(" ", 1)[0]
            if query: queries.write(json.dumps({"user_id": review["user_id"], "item_id": review["item_id"], "query": query}) + "\n")


def bm25(folder):
    """A function from a query to the twenty best items."""
    counts = {row["item_id"]: collections.Counter() for row in interactions(folder)}
    for item in lines(folder, "items.jsonl"):
        texts = [item.get("title") or "", *(item.get("categories") or [])]
        if item["item_id"] in counts: counts[item["item_id"]].update(words(" ".join(texts)))
    for review in lines(folder, "reviews.jsonl"):
        if review["item_id"] in counts: counts[review["item_id"]].update(words(review["text"]))
    length = {item: sum(count.values()) for item, count in counts.items()}
    mean = sum(length.values()) / len(length)
    having = collections.defaultdict(list)
    for item, count in counts.items():
        for word, n in count.items(): having[word].append((item, n))

    def best(query):
        scores = collections.Counter()
        for word in words(query):
            found = having.get(word, [])
            rarity = math.log(1 + (len(counts) - len(found) + 0.5) / (len(found) + 0.5))
            for item, n in found: scores[item] += rarity * n * 2.5 / (n + 1.5 * (0.25 + 0.75 * length[item] / mean))
        return [item for item, _ in scores.most_common(20)]

    return best


def ask(folder, address, weight):
    import grpc, grpc_tools
    from grpc_tools import protoc

    root, out = os.path.join(os.path.dirname(__file__), "../../proto"), tempfile.mkdtemp()
    known = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
    if protoc.main(["", f"-I{root}", f"-I{known}", f"--python_out={out}", f"--grpc_python_out={out}", "cllm4rec/v1/recommendation.proto"]): sys.exit("protoc failed")
    sys.path.insert(0, out)
    from cllm4rec.v1 import recommendation_pb2 as pb, recommendation_pb2_grpc as rpc

    service = rpc.RecommendationServiceStub(grpc.insecure_channel(address))
    queries = [json.loads(line) for line in open(os.path.join(folder, "queries.jsonl"))]
    history = collections.defaultdict(list)
    for row in interactions(folder):
        if row["split"] == "train": history[row["user_id"]].append(row["item_id"])

    def answer(request): return [item.item_id for item in service.Recommend(request, timeout=30).items]

    def alone(q): return answer(pb.RecommendRequest(query=q["query"], k=20))

    def beside(q):
        past = [pb.InlineInteraction(item_id=item) for item in history[q["user_id"]] if item != q["item_id"]]
        return answer(pb.RecommendRequest(query=q["query"], query_weight=weight, k=20, history=past, exclude_seen=False))

    best = bm25(folder)
    for name, ranks in (("BM25", lambda q: best(q["query"])), ("query", alone), (f"query ({weight}) and history", beside)):
        hits = [q["item_id"] in ranks(q) for q in queries]
        chosen, rest = hits[::2], hits[1::2]
        print(f"{name}: {sum(chosen) / len(chosen):.4f} {sum(rest) / len(rest):.4f} of {len(hits)}", flush=True)


a = argparse.ArgumentParser()
a.add_argument("what", choices=["prepare", "ask"]), a.add_argument("folders", nargs="+"), a.add_argument("--seed", type=int, default=0)
a.add_argument("--address", default="127.0.0.1:7070"), a.add_argument("--weight", type=float, default=0.6)
a = a.parse_args()
if a.what == "prepare": prepare(*a.folders, a.seed)
else: ask(a.folders[0], a.address, a.weight)

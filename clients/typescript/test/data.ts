/** A small data set with something to learn, and a job that trains on it in seconds. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { Baselines } from "../src/index.js";

/** All users of the data set; those with an even number are of one group, the others of the other. */
export const USERS = Array.from({ length: 60 }, (_, user) => `u${user}`);

/** Fields of a job that ends within seconds. */
export const TINY_JOB = {
  backbone: { kind: { case: "random" as const, value: { nEmbd: 32, nLayer: 1, nHead: 2, nPositions: 32 } } },
  pretraining: { documentsPerEpoch: 20, epochs: 1, contentEpochs: 1 },
  finetuning: { epochs: 2 },
  evaluation: { baselines: Baselines.NONE },
};

/** Fields of a job that goes on until somebody stops it or a minute has passed. */
export const SLOW_JOB = {
  ...TINY_JOB,
  finetuning: { epochs: 10_000 },
  evaluation: { baselines: Baselines.NONE, patience: 0 },
};

/** Writes two groups of thirty users and ten items; a user has eight of the ten items of their group. */
export function writeTwoGroups(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const rows = ["user_id,item_id,timestamp,split"];
  USERS.forEach((userId, user) => {
    for (let place = 0; place < 8; place += 1) {
      const item = (user % 2) * 10 + ((user >> 1) + place) % 10;
      const split = place === 6 ? "valid" : place === 7 ? "test" : "train";
      rows.push(`${userId},${itemId(item)},${place},${split}`);
    }
  });
  writeFileSync(join(folder, "interactions.csv"), `${rows.join("\n")}\n`);
  const items = Array.from({ length: 20 }, (_, item) => {
    const kind = item < 10 ? "Space" : "Garden";
    return JSON.stringify({
      item_id: itemId(item),
      title: `A ${kind} game, part ${item}`,
      year: 2000 + item,
      categories: ["Games", kind],
    });
  });
  writeFileSync(join(folder, "items.jsonl"), `${items.join("\n")}\n`);
}

/** The id of the item with a number, such as `i07`. */
export function itemId(item: number): string {
  return `i${String(item).padStart(2, "0")}`;
}

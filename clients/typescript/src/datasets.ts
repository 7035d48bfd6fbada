/** Data sets: which there are, and which one is meant where it is called by its display name. */

import type { CallOptions, Calls } from "./calls.js";
import { Cllm4recError } from "./errors.js";
import type { ListDatasetsResponse } from "./generated/cllm4rec/v1/dataset_pb.js";
import { DatasetService } from "./generated/cllm4rec/v1/dataset_pb.js";
import { resourceName } from "./names.js";
import { COORDINATION } from "./policies.js";

/** An id: the hash of the content. */
const ID = /^[0-9a-f]{32}$/;
/** Names that an error lists at most. */
const MOST_LISTED = 20;

/** All data sets, the latest first, and names of those that cannot be read. */
export async function listDatasets(calls: Calls, options: CallOptions): Promise<ListDatasetsResponse> {
  return calls.call(DatasetService, COORDINATION, options, (stub, rpc) => stub.listDatasets({}, rpc));
}

/** `datasets/ID` of an id, of that name itself, or of a display name, which is looked up. Throws as `called` does. */
export async function datasetName(calls: Calls, dataset: string, options: CallOptions): Promise<string> {
  if (ID.test(dataset)) {
    return resourceName("datasets", dataset);
  }
  const isDisplayName = dataset !== "" && !dataset.startsWith("datasets/");
  return isDisplayName ? called(dataset, await listDatasets(calls, options)) : dataset;
}

/** The latest data set with a display name. Throws `NOT_FOUND`, with the names that there are, where none has it. */
export function called(
  displayName: string,
  { datasets, unreadable }: Pick<ListDatasetsResponse, "datasets" | "unreadable">,
): string {
  const found = datasets.find((dataset) => dataset.displayName === displayName);
  if (found !== undefined) {
    return found.name;
  }
  const known = [...new Set(datasets.map((dataset) => dataset.displayName))];
  const listed = known.slice(0, MOST_LISTED).join(", ") || "none";
  const more = known.length > MOST_LISTED ? ` and ${known.length - MOST_LISTED} more` : "";
  const lost = unreadable.length > 0 ? `; ${unreadable.length} cannot be read` : "";
  throw new Cllm4recError("NOT_FOUND", `no data set is called \`${displayName}\`; there are: ${listed}${more}${lost}`);
}

/** What the scorer is asked for: options in plain TypeScript, made into the messages of the protos. */

import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";

import type { CallOptions } from "./calls.js";
import type {
  NewItemSchema,
  RecommendRequestSchema,
  ScoreItemsRequestSchema,
  SimilarItemsRequestSchema,
} from "./generated/cllm4rec/v1/recommendation_pb.js";
import { Priority, RecommendRequest_HistoryUse as HistoryUse } from "./generated/cllm4rec/v1/recommendation_pb.js";
import { resourceName } from "./names.js";

/** An item of a history that comes with the request. */
export interface HistoryItem {
  readonly itemId: string;
  /** When; without times the order given counts. `MERGE` needs it. */
  readonly time?: Date;
}

/** An item that the version's catalogue does not have yet; it is ranked by its texts. */
export interface NewItem {
  readonly itemId: string;
  readonly title?: string;
  /** From broad to narrow. */
  readonly categories?: readonly string[];
  /** At most 8,192 bytes. */
  readonly description?: string;
  /** What filters look at. */
  readonly attributes?: JsonObject;
}

/** Which model version answers; the label `live` when both are left out. */
export interface ModelChoice {
  /** A version's id or name (`modelVersions/…`). Not together with `label`. */
  readonly modelVersion?: string;
  /** A label, such as `candidate`. */
  readonly label?: string;
}

/** What all users of a bulk call may be asked with. */
export interface ListOptions extends ModelChoice {
  /** Items of the list, 1 to 1,000; 10 when left out. */
  readonly k?: number;
  /** Leave out what the history holds; true when left out. */
  readonly excludeSeen?: boolean;
  /** Leave out these as well; at most 10,000. */
  readonly excludedItemIds?: readonly string[];
  /** Rank only these; at most 10,000. */
  readonly candidateItemIds?: readonly string[];
  /** Rank only items for which this holds, in CEL: `category in ["RPG"] && year >= 2015`. At most 2,048 bytes. */
  readonly filter?: string;
  /** When fewer than `k` items pass the filter, go on with others; the answer says so. */
  readonly relaxFilter?: boolean;
  /** Say which items of the history moved each score; at most 20 items then, and a deadline with room for it. */
  readonly explain?: boolean;
  /** Only what happened until then counts. */
  readonly atTime?: Date;
  /** A history that was read at most so many milliseconds ago may be used. */
  readonly maxStalenessMs?: number;
  /** Items beside the catalogue; at most 100. */
  readonly newItems?: readonly NewItem[];
  /** What is looked for, in the user's own words; at most 1,024 bytes. */
  readonly query?: string;
  /** How much the query counts beside the user, 0 to 1; 0.6 when left out. */
  readonly queryWeight?: number;
}

/** What `recommend` takes. */
export interface RecommendOptions extends ListOptions, CallOptions {
  /** Items that the user took, oldest first or with times; at most 10,000. */
  readonly history?: readonly HistoryItem[];
  /** Whether `history` takes the place of the stored one (`REPLACE`, the default) or joins it by time (`MERGE`). */
  readonly historyUse?: "REPLACE" | "MERGE";
  /** `nextPageToken` of the answer to the same request: the items after those. */
  readonly pageToken?: string;
  /** `BATCH` waits for all interactive requests. */
  readonly priority?: "INTERACTIVE" | "BATCH";
}

/** What `score` takes. */
export interface ScoreOptions extends ModelChoice, CallOptions {
  /** Takes the place of the stored history; at most 10,000. */
  readonly history?: readonly HistoryItem[];
  /** Items beside the catalogue, whose scores come last; at most 100. */
  readonly newItems?: readonly NewItem[];
}

/** What `similar` takes. */
export interface SimilarOptions extends ModelChoice, CallOptions {
  /** Items of the answer, 1 to 1,000; 10 when left out. */
  readonly k?: number;
  /** As in `recommend`. */
  readonly filter?: string;
}

/** The message for one user's list. */
export function recommendRequest(
  userId: string,
  options: RecommendOptions,
  catalog: string | undefined,
): MessageInitShape<typeof RecommendRequestSchema> {
  return {
    userId,
    catalog: catalog ?? "",
    history: historyItems(options.history),
    historyUse: HistoryUse[options.historyUse ?? "HISTORY_USE_UNSPECIFIED"],
    pageToken: options.pageToken ?? "",
    excludedItemIds: [...(options.excludedItemIds ?? [])],
    candidateItemIds: [...(options.candidateItemIds ?? [])],
    filter: options.filter ?? "",
    relaxFilter: options.relaxFilter ?? false,
    explain: options.explain ?? false,
    priority: Priority[options.priority ?? "PRIORITY_UNSPECIFIED"],
    query: options.query ?? "",
    newItems: newItems(options.newItems),
    model: modelChoice(options),
    ...present("k", options.k),
    ...present("excludeSeen", options.excludeSeen),
    ...present("queryWeight", options.queryWeight),
    ...present("atTime", timestamp(options.atTime)),
    ...present("maxStaleness", duration(options.maxStalenessMs)),
  };
}

/** The message for the scores of given items. */
export function scoreRequest(
  userId: string,
  itemIds: Iterable<string>,
  options: ScoreOptions,
  catalog: string | undefined,
): MessageInitShape<typeof ScoreItemsRequestSchema> {
  return {
    userId,
    catalog: catalog ?? "",
    itemIds: [...itemIds],
    history: historyItems(options.history),
    newItems: newItems(options.newItems),
    model: modelChoice(options),
  };
}

/** The message for what is like an item or a text. */
export function similarRequest(
  like: string | { readonly text: string },
  options: SimilarOptions,
): MessageInitShape<typeof SimilarItemsRequestSchema> {
  return {
    ...(typeof like === "string" ? { itemId: like } : { text: like.text }),
    filter: options.filter ?? "",
    model: modelChoice(options),
    ...present("k", options.k),
  };
}

/** A moment as the protos have it; undefined for none. */
export function timestamp(time: Date | undefined): Timestamp | undefined {
  return time === undefined ? undefined : timestampFromDate(time);
}

function duration(ms: number | undefined): Duration | undefined {
  return ms === undefined ? undefined : durationFromMs(ms);
}

/** A field that is left out of the message where its value is undefined. */
export function present<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): Partial<Record<Name, Value>> {
  return value === undefined ? {} : ({ [name]: value } as Record<Name, Value>);
}

function historyItems(items: readonly HistoryItem[] = []) {
  return items.map(({ itemId, time }) => ({ itemId, ...present("time", timestamp(time)) }));
}

function newItems(items: readonly NewItem[] = []): MessageInitShape<typeof NewItemSchema>[] {
  return items.map(({ categories, ...item }) => ({ ...item, categories: [...(categories ?? [])] }));
}

type Model =
  | { case: "modelVersion"; value: string }
  | { case: "label"; value: string }
  | { case: undefined };

function modelChoice({ modelVersion, label }: ModelChoice): Model {
  if (modelVersion !== undefined) {
    return { case: "modelVersion", value: resourceName("modelVersions", modelVersion) };
  }
  return label === undefined ? { case: undefined } : { case: "label", value: label };
}

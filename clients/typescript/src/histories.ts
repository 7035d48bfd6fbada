/** Interactions, in plain TypeScript, in calls of a size that the scorer takes. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";

import type { Interaction as InteractionMessage, InteractionSchema } from "./generated/cllm4rec/v1/history_pb.js";
import { present, timestamp } from "./requests.js";

/** What a user did. */
export interface Interaction {
  /** 1 to 256 bytes. */
  readonly userId: string;
  /** 1 to 256 bytes. */
  readonly itemId: string;
  /** When; at most five minutes ahead of the service's clock. `record` takes this machine's time when it is left out. */
  readonly time?: Date;
  /** Makes a repeat harmless; without it user, item and time do. At most 256 bytes. */
  readonly eventId?: string;
}

/** One that was recorded: its time is known. */
export interface RecordedInteraction extends Interaction {
  readonly time: Date;
}

/** What became of the interactions that were given to `record`. */
export interface Recorded {
  /** Those that were new and are kept. One that is recorded again after a lost answer counts as not new. */
  readonly nRecorded: number;
  /** Items that no loaded version knows, at most 20 of each bulk call: they are kept all the same. */
  readonly unknownItemIds: readonly string[];
}

/** A user's history. */
export interface History {
  /** Ascending by time. */
  readonly interactions: readonly RecordedInteraction[];
  /** The user was deleted at some time. */
  readonly isDeleted: boolean;
}

/** The message of one interaction. */
export type InteractionInit = MessageInitShape<typeof InteractionSchema>;

/** Most interactions of a call. */
const MOST_INTERACTIONS = 10_000;
/** Most bytes of a call: the scorer refuses messages over 4 MiB. */
const MOST_BYTES = 3 * 1024 * 1024;
/** Bytes of an interaction beside its texts, at most. */
const FRAME_BYTES = 40;

/** Messages of the interactions, in bulks of which each fits into a call; at most one bulk is held at a time. */
export async function* inBulks(
  interactions: Iterable<Interaction> | AsyncIterable<Interaction>,
): AsyncGenerator<InteractionInit[], void, undefined> {
  let bulk: InteractionInit[] = [];
  let nBytes = 0;
  for await (const interaction of interactions) {
    const size = sizeOf(interaction);
    if (bulk.length === MOST_INTERACTIONS || (bulk.length > 0 && nBytes + size > MOST_BYTES)) {
      yield bulk;
      bulk = [];
      nBytes = 0;
    }
    bulk.push(messageOf(interaction));
    nBytes += size;
  }
  if (bulk.length > 0) {
    yield bulk;
  }
}

/** An interaction as the scorer keeps it, read. */
export function recorded(message: InteractionMessage): RecordedInteraction {
  return {
    userId: message.userId,
    itemId: message.itemId,
    time: message.time === undefined ? new Date(0) : timestampDate(message.time),
    ...(message.eventId === "" ? {} : { eventId: message.eventId }),
  };
}

function messageOf({ userId, itemId, time, eventId }: Interaction): InteractionInit {
  return { userId, itemId, eventId: eventId ?? "", ...present("time", timestamp(time)) };
}

function sizeOf({ userId, itemId, eventId }: Interaction): number {
  const texts = userId + itemId + (eventId ?? "");
  return Buffer.byteLength(texts) + FRAME_BYTES;
}

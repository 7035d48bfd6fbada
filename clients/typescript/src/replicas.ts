/** The replicas of one service: a connection each, taken in turn, those that are away last. */

import type { DescService } from "@bufbuild/protobuf";
import type { Client, Interceptor, Transport } from "@connectrpc/connect";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import type { Target } from "./config.js";
import { Throttle } from "./throttle.js";

/** Milliseconds between two pings, which find out that a peer is gone without saying so. */
const PING_INTERVAL_MS = 10_000;
/** Milliseconds in which a ping must be answered; with less, a peer that is only busy is taken for gone. */
const PING_TIMEOUT_MS = 10_000;
/** Milliseconds for which a replica is asked last after its first failure; doubled for each further one in a row. */
const FIRST_PAUSE_MS = 500;
/** Most milliseconds for which a replica is asked last. */
const MOST_PAUSE_MS = 30_000;

/** One replica and what is known of it. */
export class Replica {
  readonly #sessions: Http2SessionManager;
  readonly #transport: Transport;
  readonly #throttles = new Map<string, Throttle>();
  #nFailures = 0;
  #awayUntil = 0;

  /** Connects at the first call. */
  constructor(url: string, target: Target, headers: ReadonlyMap<string, string>) {
    // Not idle ones: connect-node 2.1 pings a session that is gone and ends the process. A first call after a while is
    // preceded by a ping, and the service closes what is idle for long.
    const pings = { pingIntervalMs: PING_INTERVAL_MS, pingTimeoutMs: PING_TIMEOUT_MS, pingIdleConnection: false };
    const tls = target.ca === undefined ? {} : { ca: target.ca };
    this.#sessions = new Http2SessionManager(url, pings, tls);
    this.#transport = createGrpcTransport({
      baseUrl: url,
      sessionManager: this.#sessions,
      interceptors: [sendHeaders(headers)],
      acceptCompression: [],
    });
  }

  /** A stub of one of its gRPC services. */
  stub<S extends DescService>(service: S): Client<S> {
    return createClient(service, this.#transport);
  }

  /** The throttle of one of its gRPC services: each has a room of its own. */
  throttle(service: DescService): Throttle {
    let throttle = this.#throttles.get(service.typeName);
    if (throttle === undefined) {
      throttle = new Throttle(performance.now());
      this.#throttles.set(service.typeName, throttle);
    }
    return throttle;
  }

  /** Whether its connection failed lately. */
  isAway(): boolean {
    return performance.now() < this.#awayUntil;
  }

  /** It answered, be it with a refusal. */
  hasAnswered(): void {
    this.#nFailures = 0;
    this.#awayUntil = 0;
  }

  /** Its connection failed. */
  hasFailed(): void {
    if (this.isAway()) {
      return; // calls that were under way together fail together
    }
    const pause = Math.min(MOST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#nFailures);
    this.#nFailures += 1;
    this.#awayUntil = performance.now() + pause;
  }

  /** Closes its connection; calls that are under way fail. */
  close(): void {
    this.#sessions.abort();
  }
}

/** All replicas of one service. */
export class Replicas {
  readonly #replicas: readonly Replica[];
  #next = 0;
  #isClosed = false;

  /** @param clientId names the client to the service; its address does where it is undefined. */
  constructor(target: Target, clientId: string | undefined) {
    const headers = new Map<string, string>();
    if (target.token !== "") {
      headers.set("authorization", `Bearer ${target.token}`);
    }
    if (clientId !== undefined) {
      headers.set("client-id", clientId);
    }
    this.#replicas = target.urls.map((url) => new Replica(url, target, headers));
  }

  /** Whether `close` was called. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The next replica in turn: one that is there before one that is away, one that was not tried before one that was. */
  pick(tried: ReadonlySet<Replica>): Replica {
    const first = this.#next;
    this.#next = (first + 1) % this.#replicas.length;
    const inTurn = [...this.#replicas.slice(first), ...this.#replicas.slice(0, first)];
    const untried = inTurn.filter((replica) => !tried.has(replica));
    const best =
      untried.find((replica) => !replica.isAway()) ??
      inTurn.find((replica) => !replica.isAway()) ??
      untried[0] ??
      inTurn[0];
    if (best === undefined) {
      throw new Error("a target has at least one URL");
    }
    return best;
  }

  /** Whether there is a replica that was not tried and is not known to be away. */
  hasFresh(tried: ReadonlySet<Replica>): boolean {
    return this.#replicas.some((replica) => !tried.has(replica) && !replica.isAway());
  }

  /** Closes all connections; later calls fail. */
  close(): void {
    this.#isClosed = true;
    for (const replica of this.#replicas) {
      replica.close();
    }
  }
}

function sendHeaders(headers: ReadonlyMap<string, string>): Interceptor {
  return (next) => (request) => {
    for (const [name, value] of headers) {
      request.header.set(name, value);
    }
    return next(request);
  };
}

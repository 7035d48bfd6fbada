/** Where the services are and how to be let in: from the options, else from the command line's environment variables. */

import { readFileSync } from "node:fs";

import { Cllm4recError } from "./errors.js";

/** How a `Client` reaches the services. Whatever is left out comes from the environment, then from the defaults. */
export interface ClientOptions {
  /**
   * The scorer, or its replicas with commas between them: `host:port`, `http://host:port`, or `https://host:port` with
   * TLS. Without it `CLLM4REC__SCORER__URL`, then `127.0.0.1:7070`. Without a scheme it is TLS where there is a `ca`.
   */
  readonly target?: string;
  /** The coordinator, in the same form. Without it `CLLM4REC__COORDINATOR__URL`, then `127.0.0.1:7071`. */
  readonly coordinator?: string;
  /** The bearer token for both. Without it `CLLM4REC__SCORER__TOKEN` and `CLLM4REC__COORDINATOR__TOKEN`. */
  readonly token?: string;
  /** The coordinator's token, where it has one of its own. */
  readonly coordinatorToken?: string;
  /**
   * The certificate authority to trust instead of the public ones: a PEM file's path, or its text. Without it
   * `CLLM4REC__SCORER__CA` and `CLLM4REC__COORDINATOR__CA`.
   */
  readonly ca?: string;
  /** The coordinator's certificate authority, where it has one of its own. */
  readonly coordinatorCa?: string;
  /** Namespace of the item ids for histories and recommendations; the model's own and `default` when left out. */
  readonly catalog?: string;
  /** Deadline of `recommend`, `score`, `similar` and `status`, in milliseconds; 2,000 when left out. */
  readonly timeoutMs?: number;
  /** Names this client to a busy scorer, which gives each client its share; its address when left out. */
  readonly clientId?: string;
}

/** One service with its replicas. */
export interface Target {
  /** Base URLs, one a replica. */
  readonly urls: readonly string[];
  /** Empty: none is sent. */
  readonly token: string;
  /** PEM text. */
  readonly ca: string | undefined;
}

/** The scorer that the options or the environment name. Throws `INVALID_ARGUMENT` for one that cannot be used. */
export function scorerTarget(options: ClientOptions): Target {
  return target("SCORER", "127.0.0.1:7070", options.target, options.token, options.ca);
}

/** The coordinator that the options or the environment name. Throws `INVALID_ARGUMENT` for one that cannot be used. */
export function coordinatorTarget(options: ClientOptions): Target {
  const token = options.coordinatorToken ?? options.token;
  const ca = options.coordinatorCa ?? options.ca;
  return target("COORDINATOR", "127.0.0.1:7071", options.coordinator, token, ca);
}

function target(
  service: "SCORER" | "COORDINATOR",
  usual: string,
  address: string | undefined,
  token: string | undefined,
  ca: string | undefined,
): Target {
  const pem = readAuthority(ca ?? fromEnvironment(service, "CA"));
  const addresses = address ?? fromEnvironment(service, "URL") ?? usual;
  const scheme = pem === undefined ? "http" : "https";
  return {
    urls: addresses.split(",").map((one) => baseUrl(one.trim(), scheme)),
    token: checkedToken(token ?? fromEnvironment(service, "TOKEN") ?? ""),
    ca: pem,
  };
}

/** The command line's setting of the same name; one that is set to nothing counts as not set. */
function fromEnvironment(service: string, setting: string): string | undefined {
  const value = process.env[`CLLM4REC__${service}__${setting}`];
  return value === "" ? undefined : value;
}

function baseUrl(address: string, scheme: "http" | "https"): string {
  const text = address.includes("://") ? address : `${scheme}://${address}`;
  if (!/^https?:\/\/[^/?#@]+\/?$/.test(text) || !URL.canParse(text)) {
    throw new Cllm4recError("INVALID_ARGUMENT", `\`${address}\` is not host:port, http://host:port or https://host:port`);
  }
  return new URL(text).origin;
}

function checkedToken(token: string): string {
  if (!/^[\x20-\x7e]*$/.test(token)) {
    throw new Cllm4recError("INVALID_ARGUMENT", "the token cannot be sent in a header");
  }
  return token;
}

function readAuthority(ca: string | undefined): string | undefined {
  if (ca === undefined || ca.startsWith("-----BEGIN")) {
    return ca;
  }
  try {
    return readFileSync(ca, "utf8");
  } catch (cause) {
    throw new Cllm4recError("INVALID_ARGUMENT", `cannot read the certificate authority ${ca}`, { cause });
  }
}

/** The model registry: versions, and the labels that say which one serves. */

import type { CallOptions, Calls } from "./calls.js";
import { Cllm4recError } from "./errors.js";
import type { ModelVersion } from "./generated/cllm4rec/v1/model_pb.js";
import { ModelService } from "./generated/cllm4rec/v1/model_pb.js";
import { resourceName } from "./names.js";
import { COORDINATION } from "./policies.js";

/** What `models.list` takes. */
export interface ModelsOptions extends CallOptions {
  /** Versions of a call, 1 to 1,000; 50 when left out. */
  readonly pageSize?: number;
}

/** Model versions; a version is named by its id or its name (`modelVersions/ID`). */
export class Models {
  constructor(private readonly calls: Calls) {}

  /** All versions, newest first, page by page. */
  async *list(options: ModelsOptions = {}): AsyncGenerator<ModelVersion, void, undefined> {
    let pageToken = "";
    do {
      const request = { pageSize: options.pageSize ?? 0, pageToken };
      const page = await this.calls.call(ModelService, COORDINATION, options, (stub, rpc) =>
        stub.listModelVersions(request, rpc),
      );
      yield* page.modelVersions;
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  }

  /** One version. Throws `NOT_FOUND` when it does not exist. */
  async get(version: string, options: CallOptions = {}): Promise<ModelVersion> {
    const name = resourceName("modelVersions", version);
    return this.calls.call(ModelService, COORDINATION, options, (stub, rpc) => stub.getModelVersion({ name }, rpc));
  }

  /**
   * Points a label at a version; scorers follow within two seconds. Serving with another version, and going back, is
   * promoting it to `live`. Throws `NOT_FOUND` when the version does not exist.
   */
  async promote(version: string, label = "live", options: CallOptions = {}): Promise<ModelVersion> {
    const request = { label, modelVersion: resourceName("modelVersions", version) };
    return this.calls.call(ModelService, COORDINATION, options, (stub, rpc) => stub.setLabel(request, rpc));
  }

  /** Removes a label. One that is not there is no error. */
  async removeLabel(label: string, options: CallOptions = {}): Promise<void> {
    await this.calls.call(ModelService, COORDINATION, options, (stub, rpc) => stub.removeLabel({ label }, rpc));
  }

  /** Removes a version and its files. Throws `FAILED_PRECONDITION` while a label points to it, `NOT_FOUND` when it does not exist. */
  async delete(version: string, options: CallOptions = {}): Promise<void> {
    const name = resourceName("modelVersions", version);
    let nAttempts = 0;
    try {
      await this.calls.call(ModelService, COORDINATION, options, (stub, rpc) => {
        nAttempts += 1;
        return stub.deleteModelVersion({ name }, rpc);
      });
    } catch (thrown) {
      // An attempt whose answer was lost has removed it.
      const isGone = nAttempts > 1 && thrown instanceof Cllm4recError && thrown.code === "NOT_FOUND";
      if (!isGone) {
        throw thrown;
      }
    }
  }
}

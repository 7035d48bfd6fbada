/** The names of what the services keep. */

/** `id` as a resource name, such as `jobs/ID`; one that is a name already stays as it is. */
export function resourceName(collection: "jobs" | "datasets" | "modelVersions", id: string): string {
  return id.startsWith(`${collection}/`) ? id : `${collection}/${id}`;
}

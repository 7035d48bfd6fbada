/** Users to be asked for: those that were put back, then those that the caller's iterable still has. */

/** A user, as often as they were refused. */
export interface Asked {
  readonly userId: string;
  /** Requests for them that were refused and may be sent again. */
  readonly nRefusals: number;
}

/** Reads an iterable one user ahead, and no further. */
export class UserQueue {
  readonly #source: Iterator<string> | AsyncIterator<string>;
  #isOver = false;
  /** What the iterable threw. */
  #failure: { readonly thrown: unknown } | undefined;
  /** Users who wait here: at most one that was read, and those that were put back. */
  readonly #ready: Asked[] = [];
  /** One timer for each user whose time has not come. */
  readonly #later = new Set<NodeJS.Timeout>();
  #reading: Promise<void> | undefined;
  #settle: () => void = () => undefined;
  #change = this.#nextChange();

  /** Nothing is read of `users` yet. */
  constructor(users: Iterable<string> | AsyncIterable<string>) {
    this.#source =
      Symbol.asyncIterator in users ? users[Symbol.asyncIterator]() : users[Symbol.iterator]();
  }

  /** Users who were put back and whose time has not come. */
  get nLater(): number {
    return this.#later.size;
  }

  /** Settles when somebody becomes ready, or the iterable ends. */
  get change(): Promise<void> {
    return this.#change;
  }

  /** Waits until there is a user to take, or none is left; throws what the iterable throws. */
  async hasMore(): Promise<boolean> {
    while (this.#ready.length === 0 && this.#failure === undefined) {
      if (!this.#isOver) {
        this.#reading ??= this.#read();
      } else if (this.#later.size === 0) {
        return false;
      }
      await this.#change;
    }
    this.throwFailure();
    return true;
  }

  /** Throws what the iterable threw, if it did. */
  throwFailure(): void {
    if (this.#failure !== undefined) {
      throw this.#failure.thrown;
    }
  }

  /** Takes the next user; undefined where `hasMore` would have to wait. */
  take(): Asked | undefined {
    return this.#ready.shift();
  }

  /** Somebody who must be asked for again. */
  putBack(user: Asked): void {
    this.#ready.push(user);
    this.#hasChanged();
  }

  /** Somebody who must be asked for again, and not before so many milliseconds. */
  putBackLater(user: Asked, ms: number): void {
    const timer = setTimeout(() => {
      this.#later.delete(timer);
      this.putBack(user);
    }, ms);
    this.#later.add(timer);
  }

  /** Tells the iterable that no more will be read, as leaving a `for` loop does. */
  close(): void {
    this.#later.forEach((timer) => clearTimeout(timer));
    this.#later.clear();
    if (!this.#isOver) {
      this.#isOver = true;
      // What it throws now nobody waits for.
      void Promise.resolve(this.#source.return?.()).catch(() => undefined);
    }
    this.#hasChanged();
  }

  async #read(): Promise<void> {
    try {
      const next = await this.#source.next();
      if (next.done === true) {
        this.#isOver = true;
      } else {
        this.#ready.push({ userId: next.value, nRefusals: 0 });
      }
    } catch (thrown) {
      this.#isOver = true;
      this.#failure = { thrown };
    } finally {
      this.#reading = undefined;
      this.#hasChanged();
    }
  }

  #nextChange(): Promise<void> {
    return new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  #hasChanged(): void {
    const settle = this.#settle;
    this.#change = this.#nextChange();
    settle();
  }
}

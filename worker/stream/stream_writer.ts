import type { LeaseRequest } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { LeaseCall } from '../wire/lease_call.ts';

/**
 * The one place of backpressure. After a refused write `writable` is false until the stream drains; whoever has more
 * to say keeps it (where it can still grow into one message) and is called once there is room again.
 */
export class StreamWriter {
  readonly #call: LeaseCall;
  #open = true;
  #blocked = false;

  constructor(call: LeaseCall, onWritable: () => void) {
    this.#call = call;
    call.on('drain', () => {
      this.#blocked = false;
      if (this.#open) onWritable();
    });
  }

  get writable(): boolean {
    return this.#open && !this.#blocked;
  }

  /** Dropped after the end: whatever matters is said again on the next stream. */
  write(message: NonNullable<LeaseRequest['message']>): void {
    if (this.#open && !this.#call.write({ message })) this.#blocked = true;
  }

  /** The stream has ended, or we have said goodbye on it. */
  close(): void {
    this.#open = false;
  }
}

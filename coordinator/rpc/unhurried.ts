import { ServerInterceptingCall } from '@grpc/grpc-js';
import type { ServerInterceptor } from '@grpc/grpc-js';

/** The one service whose stream is not ours to bound: it answers each question at once, and every answer is of a hundred kilobytes. */
const REFLECTION = '/grpc.reflection.';

/** Reads the next question only when the answer before has been taken. */
class Unhurried extends ServerInterceptingCall {
  #unread = 0;
  #wantsRead = false;

  override sendMessage(message: unknown, taken: () => void): void {
    this.#unread += 1;
    super.sendMessage(message, () => {
      this.#unread -= 1;
      taken();
      if (this.#wantsRead && this.#unread === 0) {
        this.#wantsRead = false;
        super.startRead();
      }
    });
  }

  override startRead(): void {
    if (this.#unread === 0) {
      super.startRead();
    } else {
      this.#wantsRead = true;
    }
  }
}

/** For reflection; other calls pass as they are. */
export const unhurriedReflection: ServerInterceptor = (method, call) =>
  method.path.startsWith(REFLECTION) ? new Unhurried(call) : call as ServerInterceptingCall;

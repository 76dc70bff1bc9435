import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';

const open = new Set<Socket>();
const ended = { bytesSent: 0, bytesReceived: 0 };

/** Counts, from now on, what goes over every TCP connection that this process opens. */
export function watchSockets(): void {
  // Node publishes each socket as it is made; it counts the bytes itself, also those that HTTP/2 moves past JavaScript.
  subscribe('net.client.socket', (message) => {
    const { socket } = message as { socket: Socket };
    open.add(socket);
    socket.once('close', () => {
      open.delete(socket);
      ended.bytesSent += socket.bytesWritten;
      ended.bytesReceived += socket.bytesRead;
    });
  });
}

/** Bytes so far, over connections that are open and those that have ended. */
export function socketBytes(): { bytesSent: number; bytesReceived: number } {
  const sum = { ...ended };
  for (const socket of open) {
    sum.bytesSent += socket.bytesWritten;
    sum.bytesReceived += socket.bytesRead;
  }
  return sum;
}

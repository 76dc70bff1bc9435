import type { Metadata } from '@grpc/grpc-js';
import { UNRESTRICTED } from '../security/access.ts';
import type { Access } from '../security/access.ts';

/** What a handler knows of whoever calls it; every kind of call of grpc-js has both. */
export interface Caller {
  metadata: Metadata;
  getPeer(): string;
}

/** By a call's metadata, which is the call's own object all its way to the handler. */
const accesses = new WeakMap<Metadata, Access>();

/** The guard has found out who calls. */
export function rememberAccess(metadata: Metadata, access: Access): void {
  accesses.set(metadata, access);
}

/** What the caller may do: everything, where nobody is asked. */
export function accessOf({ metadata }: Pick<Caller, 'metadata'>): Access {
  return accesses.get(metadata) ?? UNRESTRICTED;
}

/** Who this client is, to count its calls: the name that it has proved, else the address of its host without the port. */
export function clientOf(caller: Caller): string {
  const { name } = accessOf(caller);
  return name === '' ? hostOf(caller.getPeer()) : name;
}

/** `127.0.0.1:4711` and `::1:4711` are how grpc-js names a peer. */
function hostOf(peer: string): string {
  const colon = peer.lastIndexOf(':');
  return colon === -1 ? peer : peer.slice(0, colon);
}

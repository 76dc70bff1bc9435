import type { Methods } from './decode_guard.ts';
import { writeResponse } from './response_writer.ts';
import type { Encodes } from './response_writer.ts';

/**
 * Responses of the fast methods without the copy that the generated code makes of each encoded message: grpc-js copies it
 * into a frame anyway, and a view of the same bytes is all that it needs.
 */
export function viewResponses<Service extends object>(service: Service, types: { [Name in keyof Service]?: Encodes<never> }): Service {
  const methods = { ...service } as unknown as Methods;
  for (const [name, type] of Object.entries(types) as [string, Encodes<unknown>][]) {
    methods[name] = { ...methods[name]!, responseSerialize: (message: unknown) => view(writeResponse(message, type)) };
  }
  return methods as unknown as Service;
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

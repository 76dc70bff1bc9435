/** The same bytes as a Buffer, which is what grpc-js takes. The generated code copies them for that. */
export function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

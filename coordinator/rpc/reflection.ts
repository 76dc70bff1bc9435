import { readFileSync } from 'node:fs';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { ReflectionService } from '@grpc/reflection';

/**
 * The contract and the health service as descriptors with their comments, so that grpcurl describes them in the words of
 * the .proto files. Made by `npm run generate:descriptors`; a test compares them. The contract has
 * google/rpc/error_details.proto, without which grpcurl could not print the details of errors. (What @grpc/proto-loader
 * makes of health.proto has map entries that grpcurl refuses.)
 */
const DESCRIPTORS = ['contract.binpb', 'health.binpb'].map((name) => new URL(name, import.meta.url));

/** Server reflection, v1 and v1alpha, for our services and the health service. */
export function reflection(): ReflectionService {
  // The library takes what @grpc/proto-loader returns, and looks at the descriptors alone.
  const all = { all: { fileDescriptorProtos: DESCRIPTORS.flatMap((url) => filesOf(readFileSync(url))) } };
  return new ReflectionService(all as unknown as ConstructorParameters<typeof ReflectionService>[0]);
}

/** Each google.protobuf.FileDescriptorProto of a FileDescriptorSet. */
function filesOf(set: Uint8Array): Buffer[] {
  const reader = new BinaryReader(set);
  const files: Buffer[] = [];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) {
      files.push(Buffer.from(reader.bytes()));
    } else {
      reader.skip(wireType);
    }
  }
  return files;
}

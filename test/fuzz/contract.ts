import { readFileSync } from 'node:fs';
import { createFileRegistry, fromBinary, type DescMessage, type DescMethod } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

const CONTRACT = new URL('../../coordinator/rpc/contract.binpb', import.meta.url);

/** A method of the contract, as its descriptors say it. */
export interface Method {
  /** Such as /skiplease.v1.JobService/GetJob. */
  path: string;
  kind: DescMethod['methodKind'];
  input: DescMessage;
  output: DescMessage;
}

/** All messages of the contract, the details of errors among them. */
export const REGISTRY = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(CONTRACT)));

/** Every method of every service: one that is added to the contract is fuzzed from then on. */
export function methodsOfTheContract(): Method[] {
  const services = [...REGISTRY].filter((type) => type.kind === 'service');
  return services.flatMap(({ typeName, methods }) => methods.map(({ name, methodKind, input, output }) => ({
    path: `/${typeName}/${name}`, kind: methodKind, input, output,
  })));
}

import { readFile } from 'node:fs/promises';
import { fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import test from 'ava';
import { checkQueue, checkRule } from '../../coordinator/rpc/check_rule.ts';
import { METHOD_RULES } from '../../coordinator/rpc/method_rules.ts';
import { SkipleaseError } from '../../coordinator/errors.ts';
import { Access } from '../../coordinator/security/access.ts';

const DESCRIPTORS = ['contract.binpb', 'health.binpb'];

/** Every method of what is served, reflection apart, as gRPC writes it. */
async function servedMethods(): Promise<string[]> {
  const sets = await Promise.all(DESCRIPTORS.map(async (name) => fromBinary(FileDescriptorSetSchema, await readFile(new URL(`../../coordinator/rpc/${name}`, import.meta.url)))));
  return sets.flatMap(({ file }) => file.flatMap((each) => each.service.flatMap((service) => service.method.map((method) => `/${each.package}.${service.name}/${method.name}`))));
}

test('every method has a rule, so that a new one is refused until somebody has thought of it', async (t) => {
  const methods = await servedMethods();
  t.true(methods.includes('/skiplease.v1.WorkerService/Lease') && methods.includes('/grpc.health.v1.Health/Check'));
  t.deepEqual(methods.filter((method) => METHOD_RULES[method] === undefined), []);
  for (const version of ['v1', 'v1alpha']) t.is(METHOD_RULES[`/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`]?.needs, 'proof');
});

test('only health needs no proof', async (t) => {
  t.deepEqual(Object.keys(METHOD_RULES).filter((method) => METHOD_RULES[method]!.needs === 'nothing').filter((method) => !method.startsWith('/grpc.health.v1.Health/')), []);
});

test('a method without a rule is refused, and a refusal says what was missing where', (t) => {
  const admin = new Access('admin', [{ can: ['admin'], queues: ['mail'] }]);
  const unknown = t.throws(() => checkRule('/skiplease.v1.JobService/Brandnew', admin, []), { instanceOf: SkipleaseError });
  t.like(unknown, { code: 'PERMISSION_DENIED', reason: 'NOT_GRANTED' });
  const denied = t.throws(() => checkQueue(admin, 'submit', 'payments'), { instanceOf: SkipleaseError });
  t.like(denied, { code: 'PERMISSION_DENIED', metadata: { capability: 'submit', queue: 'payments' } });
  t.regex(denied.message, /^admin may not submit in the queue "payments"\./);
  t.regex(t.throws(() => checkQueue(admin, 'read', '*')).message, /in every queue/);
});

import { credentials } from '@grpc/grpc-js';
import { ExternalScalerClient, ScaledObjectRef } from '../../proto/gen/externalscaler/externalscaler.ts';
import type { GetMetricsResponse, IsActiveResponse } from '../../proto/gen/externalscaler/externalscaler.ts';
import { answer } from '../support/lease_operator.ts';

/** Where an autoscaler gets its number from. */
export interface Reading {
  /** undefined: it cannot be had. */
  metric(): Promise<number | undefined>;
  /** Called with whether there is work, at first and at each change. */
  onActive: (active: boolean) => void;
  close(): void;
}

/** As KEDA asks: the external scaler of a coordinator. */
export function askScaler(address: string, metadata: Record<string, string>): Reading {
  const client = new ExternalScalerClient(address, credentials.createInsecure());
  const scaledObjectRef = ScaledObjectRef.create({ name: 'workers', namespace: 'skiplease', scalerMetadata: metadata });
  const stream = client.streamIsActive(scaledObjectRef);
  const reading: Reading = {
    metric: () => answer<GetMetricsResponse>((done) => client.getMetrics({ scaledObjectRef, metricName: '' }, done))
      .then(({ metricValues }) => metricValues[0]!.metricValueFloat, () => undefined),
    onActive: () => {},
    close: () => {
      stream.cancel();
      client.close();
    },
  };
  stream.on('data', ({ result }: IsActiveResponse) => reading.onActive(result));
  stream.on('error', () => {});
  return reading;
}

/** As Prometheus and its adapter do: scrapes all coordinators, and takes the largest of what they say. */
export async function scrapeWorkload(httpAddresses: readonly string[], queue: string): Promise<number | undefined> {
  const texts = await Promise.all(httpAddresses.map((address) => fetch(`http://${address}/metrics`).then((response) => response.text(), () => '')));
  const values = texts.flatMap((text) => {
    const line = text.split('\n').find((candidate) => candidate.startsWith(`skiplease_workload_jobs{queue="${queue}"} `));
    return line === undefined ? [] : [Number(line.split(' ')[1])];
  });
  return values.length === 0 ? undefined : Math.max(...values);
}

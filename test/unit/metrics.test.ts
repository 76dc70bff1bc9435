import { readFile } from 'node:fs/promises';
import test from 'ava';
import { createMetrics, QUEUE_LABELS_MAX } from '../../coordinator/observe/metrics.ts';

const README = new URL('../../coordinator/README.md', import.meta.url);

function sampleOf(text: string, line: string): string | undefined {
  return text.split('\n').find((candidate) => candidate.startsWith(`${line} `))?.slice(line.length + 1);
}

test('the README shows every metric, as the code declares it', async (t) => {
  const readme = await readFile(README, 'utf8');
  const shown = readme.split('\n').filter((line) => line.startsWith('| `skiplease_'));
  t.deepEqual(shown, createMetrics().describe().map(({ name, type, labels, help }) => `| \`${name}\` | ${type} | ${labels.join(', ')} | ${help} |`));
});

test('names follow the conventions of Prometheus', (t) => {
  for (const { name, type } of createMetrics().describe()) {
    t.regex(name, /^skiplease_[a-z_]+$/);
    t.is(name.endsWith('_total'), type === 'counter', name);
  }
});

test('a batch is counted at once, and histograms add up', async (t) => {
  const metrics = createMetrics();
  metrics.claimedJobs('payments', 500);
  metrics.completedJobs('payments', 'succeeded', 3);
  metrics.waited(0.002, 500);
  metrics.waited(90_000, 1);
  const text = await metrics.scrape();
  t.is(sampleOf(text, 'skiplease_claimed_jobs_total{queue="payments"}'), '500');
  t.is(sampleOf(text, 'skiplease_completed_jobs_total{queue="payments",outcome="succeeded"}'), '3');
  t.is(sampleOf(text, 'skiplease_wait_seconds_bucket{le="0.001"}'), '0');
  t.is(sampleOf(text, 'skiplease_wait_seconds_bucket{le="0.0025"}'), '500');
  t.is(sampleOf(text, 'skiplease_wait_seconds_bucket{le="+Inf"}'), '501');
  t.is(sampleOf(text, 'skiplease_wait_seconds_count'), '501');
  t.is(sampleOf(text, 'skiplease_wait_seconds_sum'), '90001');
});

test('label values of queues are bounded', async (t) => {
  const metrics = createMetrics();
  for (let index = 0; index < QUEUE_LABELS_MAX + 10; index += 1) {
    metrics.submittedJobs(`queue-${index}`, 1);
  }
  const text = await metrics.scrape();
  t.is(text.split('\n').filter((line) => line.startsWith('skiplease_submitted_jobs_total{')).length, QUEUE_LABELS_MAX + 1);
  t.is(sampleOf(text, 'skiplease_submitted_jobs_total{queue="other"}'), '10');
});

test('depths are asked for once for many scrapes, and absent when they cannot be had', async (t) => {
  const metrics = createMetrics();
  let asked = 0;
  const source = { sessions: () => 2, windowJobs: () => 20, heldJobs: () => 5 };
  metrics.readGaugesFrom({ ...source, queues: async () => {
    asked += 1;
    return [{ queue: 'a', ready: 7, leased: 5, scheduled: 0, oldestReadyAgeSeconds: 1.5 }];
  } });
  const texts = await Promise.all([metrics.scrape(), metrics.scrape()]);
  t.is(asked, 1);
  t.is(sampleOf(texts[1], 'skiplease_ready_jobs{queue="a"}'), '7');
  t.is(sampleOf(texts[1], 'skiplease_oldest_ready_age_seconds{queue="a"}'), '1.5');
  t.is(sampleOf(texts[1], 'skiplease_held_jobs'), '5');

  const away = createMetrics();
  away.readGaugesFrom({ ...source, queues: () => Promise.reject(new Error('away')) });
  const text = await away.scrape();
  t.is(sampleOf(text, 'skiplease_ready_jobs{queue="a"}'), undefined);
  t.is(sampleOf(await away.scrape(), 'skiplease_errors_total{reason="QUEUE_DEPTHS_UNREADABLE"}'), '1');
});

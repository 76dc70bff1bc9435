import { readFile } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import test from 'ava';
import { createMetrics, QUEUE_LABELS_MAX } from '../../coordinator/observe/metrics.ts';
import { QueueCollector, type QueueSample } from '../../coordinator/observe/queue_gauges.ts';

const README = new URL('../../coordinator/README.md', import.meta.url);

const QUEUE: QueueSample = {
  queue: 'a', ready: 7, leased: 5, scheduled: 0, blocked: { dependency: 0, serial_key: 3, limit_key: 0 },
  oldestReadyAgeSeconds: 1.5, paused: false, served: true, limit: null, tokens: null,
};

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
    return [QUEUE];
  } });
  const texts = await Promise.all([metrics.scrape(), metrics.scrape()]);
  t.is(asked, 1);
  t.is(sampleOf(texts[1], 'skiplease_ready_jobs{queue="a"}'), '7');
  t.is(sampleOf(texts[1], 'skiplease_oldest_ready_age_seconds{queue="a"}'), '1.5');
  t.is(sampleOf(texts[1], 'skiplease_blocked_jobs{queue="a",reason="serial_key"}'), '3');
  t.is(sampleOf(texts[1], 'skiplease_queue_served{queue="a"}'), '1');
  t.is(sampleOf(texts[1], 'skiplease_queue_paused{queue="a"}'), '0');
  t.is(sampleOf(texts[1], 'skiplease_held_jobs'), '5');

  const away = createMetrics();
  away.readGaugesFrom({ ...source, queues: () => Promise.reject(new Error('away')) });
  const text = await away.scrape();
  t.is(sampleOf(text, 'skiplease_ready_jobs{queue="a"}'), undefined);
  t.is(sampleOf(await away.scrape(), 'skiplease_errors_total{reason="QUEUE_DEPTHS_UNREADABLE"}'), '1');
});

test('what alerts watch begins at zero, so that its first rise is seen', async (t) => {
  const metrics = createMetrics();
  metrics.readGaugesFrom({ sessions: () => 0, windowJobs: () => 0, heldJobs: () => 0, queues: () => Promise.resolve([QUEUE]) });
  await metrics.scrape();
  const text = await metrics.scrape();
  t.is(sampleOf(text, 'skiplease_completed_jobs_total{queue="a",outcome="failed"}'), '0');
  t.is(sampleOf(text, 'skiplease_completed_jobs_total{queue="a",outcome="retried"}'), '0');
  t.is(sampleOf(text, 'skiplease_expired_jobs_total{queue="a"}'), '0');
});

test('a slow database is not waited for: the last depths are shown, and their age grows', async (t) => {
  const looks: ((samples: QueueSample[]) => void)[] = [];
  const collector = new QueueCollector(() => new Promise((resolve) => looks.push(resolve)), () => t.fail(), { maxAgeMs: 0, waitMs: 20 });
  const first = collector.samples();
  looks[0]!([QUEUE]);
  t.deepEqual(await first, [QUEUE]);
  t.deepEqual(await collector.samples(), [QUEUE]);
  const age = await collector.ageSeconds();
  t.true(age >= 0.02, `${age} s`);
  t.is(looks.length, 2, 'one look at a time');
  looks[1]!([{ ...QUEUE, ready: 8 }]);
  await nextTurn();
  t.like(await collector.samples(), [{ ready: 8 }]);
});

test('who scales on depths is told when they cannot be had, and a queue that vanishes goes through zero', async (t) => {
  let look = (): Promise<QueueSample[]> => Promise.resolve([QUEUE]);
  const collector = new QueueCollector(() => look(), () => {}, { maxAgeMs: 0, waitMs: 5_000 });
  t.deepEqual(await collector.recentSamples(0), [QUEUE]);
  look = () => Promise.reject(new Error('away'));
  t.is(await collector.recentSamples(0), undefined);
  t.deepEqual(await collector.samples(), [], 'and nothing is shown');
  look = () => Promise.resolve([]);
  for (let round = 0; round < 2; round += 1) {
    t.like(await collector.recentSamples(0), [{ queue: 'a', ready: 0, leased: 0 }]);
  }
  const slow = new QueueCollector(() => new Promise(() => {}), () => {}, { maxAgeMs: 0, waitMs: 20 });
  t.is(await slow.recentSamples(0), undefined);
});

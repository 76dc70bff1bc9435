/** Rules, alerts and dashboards against the code: a metric that is renamed must not leave an alert that can never fire. */
import { readdir, readFile } from 'node:fs/promises';
import test from 'ava';
import { createMetrics } from '../../coordinator/observe/metrics.ts';
import { groupedBy, readPanels, readRules, selectorsOf } from '../support/monitoring.ts';

const PROMETHEUS = new URL('../../deploy/prometheus/', import.meta.url);

/** What Prometheus itself adds to every series that it scrapes; `namespace` where it does so in Kubernetes. */
const TARGET_LABELS = ['job', 'instance', 'namespace'];
/** Made by others. */
const FOREIGN: [string, string[]][] = [
  ['up', []],
  ['ALERTS', ['alertname', 'alertstate']],
  ['kube_horizontalpodautoscaler_status_desired_replicas', ['horizontalpodautoscaler']],
  ['kube_horizontalpodautoscaler_spec_max_replicas', ['horizontalpodautoscaler']],
];

/** Every series that there is, with its labels. */
async function knownSeries(): Promise<Map<string, string[]>> {
  const metrics = createMetrics();
  const ofProcess = [...(await metrics.scrape()).matchAll(/^# TYPE ((?:process|nodejs)_\S+)/gm)].map((match): [string, string[]] => [match[1]!, []]);
  const ours = metrics.describe().flatMap(({ name, type, labels }): [string, string[]][] => type === 'histogram'
    ? [[`${name}_bucket`, ['le']], [`${name}_sum`, []], [`${name}_count`, []]] : [[name, [...labels]]]);
  const recorded = (await readRules()).filter(({ kind }) => kind === 'record')
    .map(({ name, expression }): [string, string[]] => [name, groupedBy(expression)]);
  return new Map([...FOREIGN, ...ofProcess, ...ours, ...recorded]);
}

test('selectors are found in expressions', (t) => {
  t.deepEqual(selectorsOf('sum by (le, queue) (rate(a_total{job="x", b!~"c|d"}[5m])) / 2 > on (job) e:f:max unless vector(0)'), [
    { metric: 'a_total', labels: ['job', 'b'] }, { metric: 'e:f:max', labels: [] },
  ]);
});

test('rules, alerts and panels name series and labels that there are', async (t) => {
  const known = await knownSeries();
  const expressions = [
    ...(await readRules()).map(({ name, expression }) => ({ where: name, expression })),
    ...(await readPanels()).flatMap(({ dashboard, title, expressions: all }) => all.map((expression) => ({ where: `${dashboard}, ${title}`, expression }))),
  ];
  t.true(expressions.length > 60, `${expressions.length} expressions were read`);
  for (const { where, expression } of expressions) {
    const selectors = selectorsOf(expression);
    t.true(selectors.length > 0, `${where}: ${expression}`);
    for (const { metric, labels } of selectors) {
      const allowed = known.get(metric);
      t.truthy(allowed, `${where}: there is no ${metric}`);
      for (const label of labels) t.true([...TARGET_LABELS, ...allowed!].includes(label), `${where}: ${metric} has no label ${label}`);
    }
    const grouped = new Set([...TARGET_LABELS, ...selectors.flatMap(({ metric }) => known.get(metric)!)]);
    for (const label of groupedBy(expression)) t.true(grouped.has(label), `${where}: grouped by ${label}, which nothing in it has`);
  }
});

test('depths are the same on every coordinator: rules take the highest of the fresh ones', async (t) => {
  const doNotSum = createMetrics().describe().filter(({ help }) => help.includes('do not sum')).map(({ name }) => name);
  t.true(doNotSum.length >= 6);
  const rules = (await readRules()).filter(({ kind }) => kind === 'record');
  for (const name of doNotSum) {
    const using = rules.filter(({ expression }) => selectorsOf(expression).some(({ metric }) => metric === name));
    t.is(using.length, 1, name);
    t.regex(using[0]!.expression, /^max by .* skiplease_collector_age_seconds\{collector="queues"\} < 30\)$/);
  }
  for (const { title, expressions } of await readPanels()) {
    for (const { metric } of expressions.flatMap(selectorsOf)) t.false(doNotSum.includes(metric), `${title}: ${metric} is not to be used but by its rule`);
  }
});

test('the rules for the Prometheus operator are these', async (t) => {
  const groups = await Promise.all(['recording_rules.yml', 'alerts.yml'].map(async (name) => {
    const text = await readFile(new URL(name, PROMETHEUS), 'utf8');
    return text.slice(text.indexOf('groups:\n') + 'groups:\n'.length).replaceAll(/^(?=.)/gm, '  ');
  }));
  const resource = await readFile(new URL('../k8s/components/monitoring/prometheus_rule.yaml', PROMETHEUS), 'utf8');
  t.is(resource.slice(resource.indexOf('  groups:\n') + '  groups:\n'.length), groups.join(''), 'bash deploy/prometheus/for_operator.sh writes it anew');
});

test('every alert says what to do, and is tested when it fires and when it does not', async (t) => {
  const runbooks = await readFile(new URL('README.md', PROMETHEUS), 'utf8');
  const tests = await Promise.all((await readdir(new URL('tests/', PROMETHEUS))).map((name) => readFile(new URL(`tests/${name}`, PROMETHEUS), 'utf8')));
  const alerts = (await readRules()).filter(({ kind }) => kind === 'alert');
  t.true(alerts.length >= 9);
  for (const { name, text } of alerts) {
    for (const part of ['summary', 'action']) t.regex(text, new RegExp(`^ {10}${part}: .{20,}`, 'm'), name);
    t.true(text.includes(`deploy/prometheus/README.md#${name.toLowerCase()}`), name);
    t.regex(text, /severity: (page|ticket)/, name);
    t.true(runbooks.includes(`\n### ${name}\n`), `${name} has no section in the README`);
    const own = tests.filter((file) => file.includes(`"${name}"`)).join('\n');
    t.true(own.includes(`exp_samples:\n          - labels: 'ALERTS{alertname="${name}"`), `no test lets ${name} fire`);
    t.true(own.includes('exp_samples: []'), `no test keeps ${name} silent`);
  }
});

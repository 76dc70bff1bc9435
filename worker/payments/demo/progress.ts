/** Shows how far the run is: a bar on a terminal, plain lines anywhere else. */
import { MultiBar, Presets, type SingleBar } from 'cli-progress';
import type { RunCounts } from './counts.ts';

/** Of plain lines, and of the time over which the rate is taken. */
const lineIntervalMs = 1_000;
const rateWindowMs = 2_000;
const barColumnsMax = 40;

/** The bar stood where the text goes. */
const eraseToLineEnd = '\u001B[K';

const number = (count: number): string => count.toLocaleString('en');

/** Jobs ended per second, over the last two seconds. */
class Rate {
  #samples: { atMs: number; ended: number }[] = [];

  add(ended: number): number {
    const atMs = performance.now();
    this.#samples.push({ atMs, ended });
    while (this.#samples.length > 2 && this.#samples[1]!.atMs < atMs - rateWindowMs) this.#samples.shift();
    const first = this.#samples[0]!;
    return atMs > first.atMs ? Math.round(((ended - first.ended) * 1000) / (atMs - first.atMs)) : 0;
  }
}

function describe({ ready, leased, done, failed, retrying, capped }: RunCounts, perSecond: number): string {
  const waiting = (count: number): string => number(count) + (capped && count >= 50_000 ? '+' : '');
  return `${number(perSecond)}/s  ready ${waiting(ready)}  leased ${waiting(leased)}  done ${number(done)}  failed ${number(failed)}  retrying ${waiting(retrying)}`;
}

export interface Progress {
  update(counts: RunCounts): void;
  /** A line that stays, above the bar. */
  say(text: string): void;
  stop(): void;
}

function barProgress(total: number): Progress {
  const bars = new MultiBar({
    format: '  {bar}  {percentage}%  {ended} of {all}',
    barsize: Math.min(barColumnsMax, Math.max(10, (process.stdout.columns ?? 80) - 34)),
    hideCursor: true,
    stream: process.stdout,
    fps: 20,
  }, Presets.shades_classic);
  const rate = new Rate();
  const payload = { ended: '0', all: number(total), counts: 'submitting' };
  const bar: SingleBar = bars.create(total, 0, payload);
  const line: SingleBar = bars.create(total, 0, payload, { format: '  {counts}' });
  return {
    update(counts) {
      const ended = Math.min(counts.done + counts.failed, total);
      bar.update(ended, { ended: number(ended) });
      line.update(ended, { counts: describe(counts, rate.add(ended)) });
    },
    say: (text) => bars.log(text.split('\n').map((part) => `${part}${eraseToLineEnd}\n`).join('')),
    stop: () => bars.stop(),
  };
}

function plainProgress(total: number): Progress {
  const rate = new Rate();
  let lastMs = -Infinity;
  let last = '';
  const show = (): void => {
    lastMs = performance.now();
    if (last !== '') process.stdout.write(`${last}\n`);
    last = '';
  };
  return {
    update(counts) {
      const ended = Math.min(counts.done + counts.failed, total);
      last = `  ${String(Math.floor((ended * 100) / total)).padStart(3)}%  ${describe(counts, rate.add(ended))}`;
      if (performance.now() - lastMs >= lineIntervalMs) show();
    },
    say(text) {
      process.stdout.write(`${text}\n`);
    },
    stop: show,
  };
}

export function showProgress(total: number): Progress {
  return process.stdout.isTTY ? barProgress(total) : plainProgress(total);
}

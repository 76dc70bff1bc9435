import { needDisk } from '../database/disk.ts';
import type { ProcessUse } from '../measure/process_meter.ts';
import { ourFigure } from '../report/figure.ts';
import type { Scenario } from '../scenario.ts';
import { skiplease } from '../skiplease/contestant.ts';
import { BYTES_PER_FILLED_JOB } from './backlog.ts';
import { interleaved, jobsPerSecondText, roundsOf } from './context.ts';
import { floodRun } from './flood_run.ts';

/** Times the jobs of the other runs: a million by default. */
const TIMES = 10;
const ROUNDS = 1;

/** A drain long enough to see whether memory grows with it. */
export const longDrain: Scenario = {
  name: 'long-drain',
  async run(context) {
    const { server, options, say } = context;
    const jobs = options.jobs * TIMES;
    await needDisk(server.admin, 'long-drain', jobs * BYTES_PER_FILLED_JOB, say);
    const { results, checks } = await interleaved(
      context,
      { label: 'long-drain', rounds: roundsOf(context, ROUNDS), subjects: [skiplease] },
      () => floodRun(context, { kind: 'drain', jobs, launch: () => skiplease.launch(server, 'flood') }),
      (result) => `${jobsPerSecondText(result)}, coordinator ${((result.processes.coordinator?.peakResidentBytes ?? 0) / 1e6).toFixed(0)} MB at most`,
    );
    const runs = results[skiplease.name]!;
    const megabytes = (name: string, of: (use: ProcessUse) => number | undefined) =>
      runs.map(({ processes }) => {
        const bytes = processes[name] && of(processes[name]);
        return bytes === undefined ? undefined : bytes / 1e6;
      });
    const peak = (name: string) => megabytes(name, ({ peakResidentBytes }) => peakResidentBytes);
    const before = megabytes('coordinator', ({ residentBeforeBytes }) => residentBeforeBytes);
    const label = `long-drain: jobs/s, ${jobs.toLocaleString('en-US')} jobs`;
    return {
      figures: [
        ...ourFigure('long-drain/jobs_per_second', label, 0, runs.map(({ jobsPerSecond }) => jobsPerSecond)).map((figure) => ({ ...figure, heading: true })),
        ...ourFigure('long-drain/peak_mb_coordinator', '  MB resident at most: coordinator', 0, peak('coordinator')),
        ...ourFigure('long-drain/before_mb_coordinator', '  of them after the submits, when it began', 0, before),
        ...ourFigure('long-drain/peak_mb_worker', '  MB resident at most: worker', 0, peak('worker')),
      ],
      texts: [],
      checks,
      raw: results,
    };
  },
};

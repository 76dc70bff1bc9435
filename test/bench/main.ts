import { renderBars } from './bars/text.ts';
import { contestantsNamed } from './contestants.ts';
import { readDurableSettings } from './database/durability.ts';
import { BenchServer } from './database/server.ts';
import { startServer } from './database/start_server.ts';
import { parseOptions, USAGE, type Options } from './options.ts';
import { installPeers } from './peers/install.ts';
import { plotPanels } from './plot/panels.ts';
import { writeJson } from './report/json.ts';
import { describeSurroundings, renderSurroundings } from './report/machine.ts';
import { renderTable } from './report/table.ts';
import { runScenarios } from './run.ts';

try {
  process.exitCode = await main(parse());
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}

function parse(): Options {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    throw new Error(`${(error as Error).message}\n\n${USAGE}`, { cause: error });
  }
}

/** 0 when every check passed, 1 when one did not. */
async function main(options: Options): Promise<number> {
  const say = (line: string) => process.stdout.write(`${line}\n`);
  const contestants = contestantsNamed(options.only, say);
  const needPeers = contestants.some(({ part }) => part === 'peer') || options.plotFile !== undefined;
  if (needPeers) await installPeers(say);
  const running = await startServer(options.databaseUrl);
  const server = new BenchServer(running.adminUrl);
  try {
    await server.open();
    const surroundings = describeSurroundings(await readDurableSettings(server.admin), contestants);
    say(`${renderSurroundings(surroundings)}\n`);
    const results = await runScenarios({ server, contestants, options, say });
    const { figures, texts, checks, bars } = results;
    if (figures.length > 0) say(`\n${renderTable(figures, contestants.map(({ name }) => name))}`);
    for (const text of texts) say(`\n${text}`);
    if (bars.length > 0) say(`\n${renderBars(bars)}`);
    if (options.jsonFile !== undefined) await writeJson(options.jsonFile, surroundings, options, results);
    if (options.plotFile !== undefined) {
      // Not before: the library that draws is installed with the peers.
      const { writePlot } = await import('./peers/draw_plot.ts');
      await writePlot(options.plotFile, plotPanels(figures));
    }
    const failed = checks.filter(({ passed }) => !passed);
    say('');
    for (const { name, detail } of failed) say(`FAILED ${name}: ${detail}`);
    say(`${checks.length - failed.length} passed, ${failed.length} failed`);
    return failed.length === 0 ? 0 : 1;
  } finally {
    await server.close();
    await running.stop();
  }
}

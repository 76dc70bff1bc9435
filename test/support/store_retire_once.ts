/** A coordinator's dropping of partitions in a process of its own, to be killed: `store_retire_once.ts DATABASE_URL DAYS FAILED_DAYS`. */
import { startRetirer } from './store_retention.ts';

const [databaseUrl, days, failedDays] = process.argv.slice(2);
const retirer = startRetirer(databaseUrl!, { days: Number(days), failedDays: Number(failedDays) });
await retirer.run();
await retirer.stop();

import { eventsOf } from '../facts.ts';
import type { Rule } from '../violation.ts';

export const nothingLost: Rule = {
  name: 'nothing lost',
  holds: 'what was accepted is there, as it was asked for; a repeat is known as one; nothing comes from nowhere; nothing is refused that is right',
  *check({ jobs, rows, told: everything }) {
    const followUps = new Set(rows.batch.map(({ followUpId }) => followUpId));
    for (const job of jobs.values()) {
      const { id, row, told } = job;
      const submits = eventsOf(told, 'submit');
      const accepted = eventsOf(told, 'accepted');
      const first = accepted[0];
      if (row === undefined) {
        if (first !== undefined) yield { jobId: id, what: 'was accepted, and is not in the database' };
        continue;
      }
      const asked = submits[0]?.jobs.find((one) => one.id === id);
      if (asked !== undefined && (asked.queue !== row.queue || asked.type !== row.type || (asked.serialKey ?? null) !== row.serialKey)) {
        yield { jobId: id, what: `was asked for as ${JSON.stringify(asked)}, and is ${JSON.stringify(row)}` };
      }
      if (asked === undefined && row.parentId === null && !followUps.has(id) && eventsOf(told, 'order').length === 0) {
        yield { jobId: id, what: 'is in the database, and nobody has submitted it' };
      }
      for (const answer of accepted) {
        const repeated = submits.find(({ at, jobs: again, by }) => at < answer.at && by === answer.by && at > first!.at && again.some((one) => one.id === id));
        if (repeated !== undefined && !answer.existing.includes(id)) {
          yield { jobId: id, what: 'was submitted again after it had been accepted, and the answer says that it was created' };
        }
      }
    }
    // A job, or a batch that is to be closed: it need not be there.
    for (const { ids, code, message } of eventsOf(everything, 'refused')) yield { jobId: ids[0], what: `${ids.length === 0 ? 'a call ' : ''}was refused with ${code}: ${message}` };
  },
};

import type { ReportedJob } from '../engine/settler.ts';
import type { Access } from '../security/access.ts';

/** Jobs of a report whose follow-ups its worker may not submit are refused by themselves: INVALID, with the reason. */
export function mayFollow(access: Access, jobs: ReportedJob[]): ReportedJob[] {
  if (access.unrestricted) {
    return jobs;
  }
  return jobs.map((job) => {
    const denied = 'refused' in job.move || job.move.kind !== 'succeed' ? undefined : job.move.followUps.find(({ queue }) => !access.may('submit', queue));
    return denied === undefined ? job : { ...job, move: { refused: `follow_ups: ${access.name} may not submit in the queue ${denied.queue}` } };
  });
}

import { Metadata } from '@grpc/grpc-js';
import { ScheduleServiceClient } from '../../proto/gen/skiplease/v1/schedule_service.ts';
import type {
  DeleteScheduleResponse, GetScheduleResponse, ListSchedulesResponse, TriggerScheduleResponse,
} from '../../proto/gen/skiplease/v1/schedule_service.ts';
import { newJobId } from '../job_id.ts';
import { coordinatorsOf } from './client_options.ts';
import type { ClientOptions } from './client_options.ts';
import type { Coordinators, UnaryCall } from './coordinators.ts';
import { scheduleFrom, wireSchedule } from './schedule_snapshot.ts';
import type { NewSchedule, ScheduleSnapshot } from './schedule_snapshot.ts';

/** Looks after schedules. Every method rejects with a SkipleaseError: NOT_FOUND where there is no schedule of that name. */
export class ScheduleClient {
  readonly #coordinators: Coordinators<ScheduleServiceClient>;

  /** Throws TypeError that names each bad option. */
  constructor(options: ClientOptions) {
    this.#coordinators = coordinatorsOf(ScheduleServiceClient, options);
  }

  /** Makes it, or replaces the one of that name: ticks count from now on. */
  async put(schedule: NewSchedule): Promise<ScheduleSnapshot> {
    const request = { schedule: wireSchedule(schedule, this.#coordinators.codec) };
    return this.#one((client, options, callback) => client.putSchedule(request, new Metadata(), options, callback));
  }

  async get(name: string): Promise<ScheduleSnapshot> {
    return this.#one((client, options, callback) => client.getSchedule({ name }, new Metadata(), options, callback));
  }

  /** All there are, by name, read page by page. */
  async *list(): AsyncGenerator<ScheduleSnapshot, void, void> {
    let pageToken = '';
    do {
      const page = await this.#coordinators.call<ListSchedulesResponse>(
        (client, options, callback) => client.listSchedules({ pageSize: 0, pageToken }, new Metadata(), options, callback),
      );
      for (const schedule of page.schedules) yield scheduleFrom(schedule, this.#coordinators.codec);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
  }

  /** Jobs that it has submitted stay. A call that is repeated after its answer was lost may reject with NOT_FOUND. */
  async delete(name: string): Promise<void> {
    await this.#coordinators.call<DeleteScheduleResponse>(
      (client, options, callback) => client.deleteSchedule({ name }, new Metadata(), options, callback),
    );
  }

  /** Once it resolves no tick submits a job. Ticks that pass meanwhile are neither run nor missed. */
  async pause(name: string): Promise<ScheduleSnapshot> {
    return this.#one((client, options, callback) => client.pauseSchedule({ name }, new Metadata(), options, callback));
  }

  async resume(name: string): Promise<ScheduleSnapshot> {
    return this.#one((client, options, callback) => client.resumeSchedule({ name }, new Metadata(), options, callback));
  }

  /** Submits its job now, also while it is paused, and resolves to the job's id (made here when left out). */
  async trigger(name: string, jobId = newJobId()): Promise<string> {
    return (await this.#coordinators.call<TriggerScheduleResponse>(
      (client, options, callback) => client.triggerSchedule({ name, jobId }, new Metadata(), options, callback),
    )).jobId;
  }

  /** Closes its connections. Calls under way fail. */
  close(): void {
    this.#coordinators.close();
  }

  /** A call that answers with one schedule. */
  async #one(start: UnaryCall<ScheduleServiceClient, GetScheduleResponse>): Promise<ScheduleSnapshot> {
    return scheduleFrom((await this.#coordinators.call(start)).schedule!, this.#coordinators.codec);
  }
}

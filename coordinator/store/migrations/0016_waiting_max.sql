-- A ceiling of the jobs that wait in a queue: coordinators turn submits away while there are as many (engine/ceilings.ts).
alter table skiplease.queue
  -- null: none.
  add column waiting_max integer check (waiting_max > 0);

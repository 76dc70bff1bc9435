-- The timelines that coordinators have worked in: store/history.ts.
create table skiplease.history (
  timeline integer primary key,
  began_at timestamptz not null default skiplease.now()
);

-- Who the worker of a session has proved to be, where coordinators ask; empty: nobody was asked. What is leased to a session is
-- resumed and reported by the same identity only.
alter table skiplease.session add column identity text not null default '';

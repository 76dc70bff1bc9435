/*
 * The lease protocol, small enough that every order of events can be tried: two coordinators, two workers, a job or two, and budgets of
 * faults: of workers and their streams, of coordinators, and answers of PostgreSQL that are lost; of cancels, and of transactions of
 * applications that complete a job (SQL). run.sh has spin try them all; README.md says
 * what is left out, and what each mutation breaks.
 *
 * One transition is one committed transaction, or one message that arrives. What PostgreSQL makes atomic is atomic here: a statement,
 * or several under row locks. Where two statements look and then write, and somebody may come between, they are two transitions. A
 * transaction that its coordinator does not live to commit has never been, so nobody is frozen or killed inside one.
 *
 * There are no clocks: a time to live passes when whoever is well has done what takes less (TTL_PASSES).
 *
 * The budgets bring every run to an end. So "no job is stuck" is what Judge finds at each end, and the formula of temporal logic at
 * the end of this file.
 */

#ifndef JOBS
#define JOBS 1
#endif
#ifndef WORKER_FAULTS
#define WORKER_FAULTS 0
#endif
#ifndef COORDINATOR_FAULTS
#define COORDINATOR_FAULTS 0
#endif
#ifndef LOST_ANSWERS
#define LOST_ANSWERS 0
#endif
#ifndef CANCELS
#define CANCELS 0
#endif
#ifndef SQL
#define SQL 0
#endif
/* How many jobs each worker may hold. */
#define WINDOW(w) ((w) == 0 -> 2 : 1)
#define ATTEMPTS_MAX 2
/* At once. What nobody remembers any more is forgotten, and its number used again: tidy(). */
#define LEASES 5
#define SESSIONS 6
/* No session, no lease. */
#define NONE 7

/* Sets are the bits of a byte. */
#define BIT(i) (1 << (i))
#define HAS(set, i) (((set) >> (i)) & 1)
#define COUNT(set) (HAS(set, 0) + HAS(set, 1))
#define ANY(test, set) (test(set, 0) || test(set, 1) || test(set, 2) || test(set, 3) || test(set, 4))
#define ANY_SESSION(test, x) (test(x, 0) || test(x, 1) || test(x, 2) || test(x, 3) || test(x, 4) || test(x, 5))

mtype:process = { up, frozen, dead };
mtype:row = { live, given_up, gone };
mtype:memory = { unknown, asked, inserted, resumed, open, broken, leaving, giving_up };
mtype:stage = { idle, reported, looked };
mtype:word = { succeed, fail };
mtype:receipt = { accepted, duplicate, lease_lost, was_cancelled };
mtype:end = { waiting, succeeded, failed, cancelled };

/* ---- PostgreSQL: coordinator/store/migrations/0001_storage.sql ---- */

byte exists;                      /* job */
byte ready;                       /* ready */
byte attempt[JOBS] = 1;           /* the next one of a job that waits, the present one of a job that is held */
mtype:end outcome[JOBS] = waiting;/* outcome, */
byte ended_under[JOBS] = NONE;    /* and its lease_id */

typedef Lease {
  unsigned jobs : 2;              /* never changes; empty: there is no such lease */
  unsigned settled : 2;           /* the mask. A lease that is settled to the end is as good as deleted */
  unsigned session : 3;
  unsigned coordinator : 1;
  unsigned failures : 2;          /* attempt: tries that failed under it, */
  unsigned expiries : 2;          /* and those that expired */
  unsigned lock : 2;              /* of a settle, between its look and its write: 1 FOR NO KEY UPDATE, 2 FOR UPDATE */
  /* In the memory of its coordinator: committed, and not yet with its worker. */
  unsigned undelivered : 1;
  /* A hello wanted to give it back and found it locked: the mender of coordinator `late - 1` comes again. */
  unsigned late : 2;
  /* In the memory of its worker: the token, and the jobs of which it has a receipt. */
  unsigned token : 1;
  unsigned receipts : 2;
};
Lease lease[LEASES];

typedef Session {
  unsigned worker : 1;
  unsigned coordinator : 1;
  unsigned row : 1;               /* session */
  /* In the memory of its coordinator: how it stands; leases that it holds, or names in its hello; sessions that its hello has ended. */
  mtype:memory memory;
  unsigned held : 5;
  unsigned earlier : 6;
  unsigned replaced : 1;          /* so it was found when it was given up */
  /* One report on its way. */
  mtype:stage stage;
  unsigned lease : 3;
  unsigned job : 1;
  mtype:word word;
  mtype:receipt receipt;
};
Session session[SESSIONS];

typedef Coordinator {
  mtype:process process;
  mtype:row row;                  /* coordinator: expires_at, or that it is gone */
  unsigned beating : 1;           /* its heartbeats commit, */
  unsigned steady : 1;            /* and have done so for a time to live: engine/standing.ts, mayReap */
  unsigned audit : 1;             /* the answer of a claim was lost */
  unsigned hasty : 1;             /* back from where it was, it has leased once before its next heartbeat: there is no time for more */
};
Coordinator coordinator[2];

typedef Worker {
  mtype:process process;
  unsigned stream : 3;            /* the session of its hello, */
  unsigned welcome : 1;           /* which was answered */
  unsigned sql : 3;               /* the lease under which a transaction of its application completes a job, */
  unsigned sql_job : 1;           /* and which it has locked FOR KEY SHARE */
  /* It was frozen or killed: only then may an attempt be spent without its report, or a lease be lost. */
  unsigned was_away : 1;
};
Worker worker[2];

byte accepted_submits;
byte effects[JOBS];               /* of applications, committed with a completion */
byte worker_faults = WORKER_FAULTS, coordinator_faults = COORDINATOR_FAULTS, lost_answers = LOST_ANSWERS, cancels = CANCELS, transactions = SQL;

hidden byte i, j, k, m, n, x;

#define FINAL(j) (outcome[j] != waiting)
#define UNSETTLED(l) (lease[l].jobs & ~lease[l].settled)
/* It is the job's live holder. */
#define HOLDS(l, j) (HAS(UNSETTLED(l), j) && !FINAL(j))
#define WORKER_OF(l) session[lease[l].session].worker
#define IS_UP(c) (coordinator[c].process == up)
/* Whom others may give up says no to hellos until its heartbeat is back: engine/sessions.ts, hello. */
#ifdef HELLO_WHILE_EXPIRED
#define GREETS(c) IS_UP(c)
#else
#define GREETS(c) (IS_UP(c) && (coordinator[c].beating || coordinator[c].row == live))
#endif
#define ON_STREAM(s) (worker[session[s].worker].stream == s)
/* By then every worker that is well has found a coordinator, and every coordinator has sent its heartbeat. */
#define FOUND(w) (worker[w].process == up -> worker[w].welcome && IS_UP(session[worker[w].stream].coordinator) : true)
#define BEATS(c) (IS_UP(c) -> coordinator[c].beating : true)
#define TTL_PASSES (FOUND(0) && FOUND(1) && BEATS(0) && BEATS(1))
/* No word comes on this stream: its worker is frozen or dead, or speaks elsewhere. */
#define SILENT(s) (worker[session[s].worker].process != up || !ON_STREAM(s))

/* Those who give back take FOR UPDATE SKIP LOCKED (store/settle_carefully.ts), and come again. */
#ifdef IGNORE_KEY_SHARE
#define BUSY(l) (lease[l].lock != 0)
#else
#define BUSY(l) (lease[l].lock != 0 || worker[0].sql == l || worker[1].sql == l)
#endif
#define FREE_IN(set, l) (HAS(set, l) && !BUSY(l))
#define LOCKED_IN(set, l) (HAS(set, l) && lease[l].lock != 0)

/* What a session counts into its window: engine/session.ts. */
#define COUNTED(s, l) ((HAS(session[s].held, l) || (lease[l].undelivered && lease[l].session == s)) * COUNT(UNSETTLED(l)))
#define HELD(s) (COUNTED(s, 0) + COUNTED(s, 1) + COUNTED(s, 2) + COUNTED(s, 3) + COUNTED(s, 4))
#define HAS_ROOM(s, some) (HELD(s) + COUNT(some) <= WINDOW(session[s].worker))

/* ---- What must hold after every commit: DESIGN.md, section 2 ---- */

/* Promises 1, 2, 3: each job is in one place: it waits, or one live lease holds it, or it has ended. */
inline check_places() {
  for (i : 0 .. JOBS - 1) {
    k = HAS(ready, i) + FINAL(i);
    for (j : 0 .. LEASES - 1) { k = k + HOLDS(j, i) }
    assert(k == HAS(exists, i));
  }
  k = 0
}

/* No worker is ever handed more than its window. */
inline check_window(w) {
  k = 0;
  for (j : 0 .. LEASES - 1) { k = k + (lease[j].token && WORKER_OF(j) == w -> COUNT(UNSETTLED(j)) : 0) }
  assert(k <= WINDOW(w))
}

/* Promise 4; and 5: who was well all the time never hears that a lease was lost. */
#define UNDER lease[session[s].lease]
inline check_receipt(s) {
  k = session[s].job;
  if
  :: session[s].receipt == accepted && session[s].word == succeed -> assert(outcome[k] == succeeded && ended_under[k] == session[s].lease)
  :: session[s].receipt == accepted && session[s].word == fail -> assert(HAS(UNDER.failures, k))
  :: session[s].receipt == duplicate -> assert(HAS(UNDER.failures, k) || (ended_under[k] == session[s].lease && outcome[k] != cancelled))
  :: session[s].receipt == was_cancelled -> assert(outcome[k] == cancelled)
  :: session[s].receipt == lease_lost ->
     assert(!HAS(UNDER.failures, k) && (ended_under[k] != session[s].lease || HAS(UNDER.expiries, k)));
     assert(worker[session[s].worker].was_away)
  fi
}

/* ---- What is forgotten ---- */

#define NAMES_LEASE(l, s) (HAS(session[s].held, l) || (session[s].stage != idle && session[s].lease == l))
#define ENDS_SESSION(s, t) HAS(session[t].earlier, s)
#define OF_SESSION(s, l) (lease[l].jobs != 0 && lease[l].session == s)

inline clear_report(s) {
  session[s].stage = idle; session[s].lease = 0; session[s].job = 0; session[s].word = succeed; session[s].receipt = accepted
}

/* At the end of each transition. */
inline tidy() {
  for (i : 0 .. LEASES - 1) {
    if
    :: lease[i].jobs != 0 && UNSETTLED(i) == 0 ->
#ifndef RESUME_TRUSTS_WORKER
       for (j : 0 .. SESSIONS - 1) { session[j].held = session[j].held & ~BIT(i) }
#endif
       lease[i].undelivered = 0;
       if
       :: !lease[i].token && worker[0].sql != i && worker[1].sql != i && !ANY_SESSION(NAMES_LEASE, i) ->
          lease[i].jobs = 0; lease[i].settled = 0; lease[i].session = 0; lease[i].coordinator = 0; lease[i].failures = 0; lease[i].expiries = 0;
          lease[i].late = 0; lease[i].receipts = 0
       :: else
       fi
    :: else
    fi
  }
  for (i : 0 .. SESSIONS - 1) {
    if
    :: session[i].memory == unknown && !session[i].row && session[i].stage == idle && worker[0].stream != i && worker[1].stream != i &&
       !ANY(OF_SESSION, i) && !ANY_SESSION(ENDS_SESSION, i) -> session[i].worker = 0; session[i].coordinator = 0
    :: else
    fi
  }
  i = 0; j = 0
}

/* ---- Transactions ---- */

/* store/claim.ts, store/hand_off.ts: x is the lease's number. */
inline grant(s, some) {
  x = 0;
  do
  :: x < LEASES && lease[x].jobs != 0 -> x++
  :: else -> break
  od;
  assert(x < LEASES);
  lease[x].jobs = some;
  lease[x].session = s;
  lease[x].coordinator = session[s].coordinator;
  coordinator[session[s].coordinator].hasty = !coordinator[session[s].coordinator].beating;
  check_places()
}

/* engine/decide.ts: what is not settled goes back; with an attempt spent where nobody vouches for it any more (promise 7). */
inline give_back(l, spend) {
  printf("lease %d: what is left goes back\n", l);
  for (i : 0 .. JOBS - 1) {
    if
    :: HOLDS(l, i) && (spend) ->
       assert(worker[WORKER_OF(l)].was_away);
       lease[l].expiries = lease[l].expiries | BIT(i);
       if
       :: attempt[i] == ATTEMPTS_MAX -> outcome[i] = failed; ended_under[i] = l
       :: else -> attempt[i]++; ready = ready | BIT(i)
       fi
    :: HOLDS(l, i) && !(spend) -> ready = ready | BIT(i)
    :: else /* ended in SQL: the bit catches up */
    fi
  }
  lease[l].settled = lease[l].jobs;
  lease[l].late = 0
}

/* A coordinator ends, with all that only it knew. */
inline forget_all(c) {
  for (i : 0 .. SESSIONS - 1) {
    if
    :: session[i].coordinator == c && session[i].memory != unknown -> session[i].memory = unknown; session[i].held = 0; session[i].earlier = 0; session[i].replaced = 0
    :: else
    fi;
    if
    :: session[i].coordinator == c && session[i].stage != idle -> clear_report(i)
    :: else
    fi
  }
  for (i : 0 .. LEASES - 1) {
    if
    :: lease[i].coordinator == c -> lease[i].undelivered = 0
    :: else
    fi;
    if
    :: lease[i].late == c + 1 -> lease[i].late = 0
    :: else
    fi
  }
  coordinator[c].audit = 0; coordinator[c].beating = 0; coordinator[c].steady = 0; coordinator[c].hasty = 0
}

/* ---- The coordinator's side of one stream: engine/sessions.ts, engine/settler.ts, engine/mending.ts, rpc/lease_stream.ts ---- */

#define ME session[s]
#define MINE session[s].coordinator
#define MY_WORKER worker[session[s].worker]

/* A later hello of the same instance ends the session of one that is under way: then it takes nothing. */
#ifdef LATE_HELLO_TAKES
#define STANDS(s) true
#else
#define STANDS(s) session[s].row
#endif

/* store/sessions.ts, END_EARLIER */
inline end_earlier(s) {
  for (m : 0 .. SESSIONS - 1) {
    if
    :: STANDS(s) && m != s && session[m].row && session[m].worker == session[s].worker -> session[m].row = 0; session[s].earlier = session[s].earlier | BIT(m)
    :: else
    fi
  }
}

/* RESUME: the token is the proof, and the lease must be there. */
inline resume(s) {
  printf("session %d resumes what it can of leases %d\n", s, session[s].held);
  for (m : 0 .. LEASES - 1) {
    if
#ifdef RESUME_TRUSTS_WORKER
    :: HAS(session[s].held, m) -> lease[m].settled = lease[m].receipts; lease[m].session = s; lease[m].coordinator = session[s].coordinator
#else
    :: HAS(session[s].held, m) && UNSETTLED(m) != 0 && STANDS(s) -> lease[m].session = s; lease[m].coordinator = session[s].coordinator
#endif
    :: else -> session[s].held = session[s].held & ~BIT(m)
    fi
  }
  check_places()
}

/* A session of the same instance at the same coordinator, whether its row is there or not. */
#define REPLACED(m, s) (m != s && session[m].worker == session[s].worker && session[m].coordinator == session[s].coordinator && \
                        (session[m].memory == open || session[m].memory == broken))

/* engine/sessions.ts, #takeOver: what this instance held before and has not named goes back free. */
inline take_over(s) {
  for (m : 0 .. SESSIONS - 1) {
    if
    :: HAS(session[s].earlier, m) || REPLACED(m, s) ->
       for (n : 0 .. LEASES - 1) {
         if
         :: lease[n].session == m && UNSETTLED(n) != 0 && BUSY(n) -> lease[n].late = session[s].coordinator + 1
         :: lease[n].session == m && UNSETTLED(n) != 0 && !BUSY(n) -> give_back(n, false)
         :: else
         fi
       }
       if
       :: REPLACED(m, s) -> session[m].memory = unknown; session[m].held = 0
       :: else
       fi
    :: else
    fi
  }
  session[s].earlier = 0
}

/* It says which tokens are lost: none of those of a worker that was well, but for what is settled to the end. */
inline say_welcome(w) {
  printf("worker %d is welcome: session %d\n", w, worker[w].stream);
  for (i : 0 .. LEASES - 1) {
    if
    :: lease[i].token && WORKER_OF(i) == w && !HAS(session[worker[w].stream].held, i) -> assert(worker[w].was_away || UNSETTLED(i) == 0); lease[i].token = 0; lease[i].receipts = 0
    :: else
    fi
  }
  worker[w].welcome = 1
}

#define MAY_LEASE(s) (session[s].memory == open && IS_UP(session[s].coordinator) && (coordinator[session[s].coordinator].beating || !coordinator[session[s].coordinator].hasty))
#define CLAIMABLE(some) (MAY_LEASE(s) && (ready & (some)) == (some) && HAS_ROOM(s, some))
inline claim(s, some) {
  printf("jobs %d are claimed for session %d\n", some, s);
  ready = ready & ~(some);
  grant(s, some)
}

/* The bit under the lock decides, and the outcome. */
#ifdef NO_FENCE
#define IS_HOLDER(l, j) (!FINAL(j))
#else
#define IS_HOLDER(l, j) HOLDS(l, j)
#endif

inline decide(s) {
  m = session[s].lease; n = session[s].job;
  if
  :: IS_HOLDER(m, n) -> session[s].receipt = accepted
  :: else ->
     if
     :: outcome[n] == cancelled -> session[s].receipt = was_cancelled
     :: outcome[n] != cancelled && !HAS(lease[m].expiries, n) && (ended_under[n] == m || HAS(lease[m].failures, n)) -> session[s].receipt = duplicate
     :: else -> session[s].receipt = lease_lost
     fi
  fi;
  printf("session %d: %e of job %d under lease %d is %e\n", s, session[s].word, n, m, session[s].receipt)
}

/* Promise 3: only the live holder changes anything. */
inline carry_out(s) {
  m = session[s].lease; n = session[s].job;
  if
  :: session[s].receipt == accepted && session[s].word == succeed ->
     assert(HOLDS(m, n));
     outcome[n] = succeeded; ended_under[n] = m
  :: session[s].receipt == accepted && session[s].word == fail ->
     assert(HOLDS(m, n));
     lease[m].failures = lease[m].failures | BIT(n);
     if
     :: attempt[n] == ATTEMPTS_MAX -> outcome[n] = failed; ended_under[n] = m
     :: else -> attempt[n]++; ready = ready | BIT(n)
     fi
  :: else
  fi;
  if
  :: session[s].receipt == accepted || FINAL(n) -> lease[m].settled = lease[m].settled | (BIT(n) & lease[m].jobs)
  :: else
  fi;
  lease[m].lock = 0;
  check_places()
}

/* The receipt arrives, unless the stream has broken. */
inline answer(s) {
  if
  :: ON_STREAM(s) && MY_WORKER.process == up ->
     check_receipt(s);
     UNDER.receipts = UNDER.receipts | BIT(session[s].job);
     UNDER.token = (UNDER.receipts != UNDER.jobs)
  :: else
  fi;
  clear_report(s)
}

/* An insert that does nothing where an outcome is says so by what it returns. */
#ifdef OUTCOME_UNCHECKED
#define ENDED_MEANWHILE(s) false
#else
#define ENDED_MEANWHILE(s) (session[s].receipt == accepted && FINAL(session[s].job))
#endif
/* Under the lease's lock nobody comes between look and write but an application's transaction. */
#define IN_ONE_STEP (transactions == 0 && worker[0].sql == NONE && worker[1].sql == NONE)
#define MAY_SETTLE(s) (session[s].stage == reported && IS_UP(session[s].coordinator) && UNDER.lock == 0 && (session[s].word == succeed || !BUSY(session[s].lease)))

proctype Stream(byte s) {
end: do
  /* Hello: store/sessions.ts. The session is on record first; who has gone by then is not waited for. */
  :: d_step { ME.memory == asked && GREETS(MINE) && ON_STREAM(s) -> printf("session %d is on record\n", s); ME.row = 1; ME.memory = inserted }
  :: d_step { ME.memory == asked && IS_UP(MINE) && !ON_STREAM(s) -> ME.memory = unknown; ME.held = 0; tidy() }
  /* store/store.ts, takeUp: in one transaction. */
  :: d_step { ME.memory == inserted && IS_UP(MINE) && (!STANDS(s) || !ANY(LOCKED_IN, ME.held)) -> resume(s); end_earlier(s); ME.memory = resumed; tidy() }
  :: d_step { ME.memory == resumed && IS_UP(MINE) && STANDS(s) ->
       take_over(s);
       ME.memory = open;
       if
       :: ON_STREAM(s) && MY_WORKER.process == up -> m = session[s].worker; say_welcome(m)
       :: else
       fi;
       check_places(); tidy() }
  /* It was ended meanwhile: watched, until it has been silent for a time to live. */
  :: d_step { ME.memory == resumed && IS_UP(MINE) && !STANDS(s) -> printf("session %d was ended meanwhile\n", s); ME.memory = broken; ME.earlier = 0; tidy() }

  /* Leases: engine/dispatcher.ts, store/claim.ts. The answer may be lost, though it is committed. */
  :: d_step { CLAIMABLE(1) -> claim(s, 1); lease[x].undelivered = 1 }
#if JOBS > 1
  :: d_step { CLAIMABLE(2) -> claim(s, 2); lease[x].undelivered = 1 }
  :: d_step { CLAIMABLE(3) -> claim(s, 3); lease[x].undelivered = 1 }
#endif
  :: d_step { lost_answers > 0 && CLAIMABLE(1) -> printf("the answer is lost:\n"); lost_answers--; claim(s, 1); coordinator[MINE].audit = 1 }

  /* Reports: what was read is settled, also when the stream is gone by then. */
  :: d_step { MAY_SETTLE(s) ->
       decide(s);
       if
       :: IN_ONE_STEP -> carry_out(s); answer(s)
       :: else ->
          UNDER.lock = (UNSETTLED(ME.lease) == 0 -> 0 : (ME.word == succeed -> 1 : 2));
          ME.stage = looked;
#ifdef RECEIPT_BEFORE_COMMIT
          if
          :: ON_STREAM(s) && MY_WORKER.process == up -> check_receipt(s)
          :: else
          fi
#endif
       fi;
       tidy() }
  /* An application has ended the job in SQL since the look: roll back, and look again. */
  :: d_step { ME.stage == looked && ENDED_MEANWHILE(s) -> printf("session %d: job %d was ended in SQL since\n", s, ME.job); UNDER.lock = 0; ME.stage = reported }
  :: d_step { ME.stage == looked && !ENDED_MEANWHILE(s) -> printf("session %d: committed\n", s); carry_out(s); answer(s); tidy() }
  /* The answer of the COMMIT is lost: it is settled once more. Or the report itself is lost with its stream. */
  :: d_step { lost_answers > 0 && MAY_SETTLE(s) && IS_HOLDER(ME.lease, ME.job) -> printf("the answer is lost:\n"); lost_answers--; decide(s); carry_out(s) }
  :: d_step { ME.stage == reported && !ON_STREAM(s) -> clear_report(s); tidy() }

  /* The stream's end is noticed: engine/sessions.ts, detach. */
  :: d_step { ME.memory == open && IS_UP(MINE) && !ON_STREAM(s) ->
       printf("session %d: its coordinator sees that the stream has ended\n", s);
       if
       :: HELD(s) == 0 -> ME.memory = unknown; ME.held = 0; ME.row = 0
       :: else -> ME.memory = broken
       fi;
       tidy() }
  /* Silent for a time to live: engine/sessions.ts, giveUp. A look at what stands in its name, and then each lease by its proof. */
  :: d_step { (ME.memory == open || ME.memory == broken) && IS_UP(MINE) && coordinator[MINE].steady && TTL_PASSES && SILENT(s) ->
       printf("session %d was silent for a time to live\n", s);
       ME.held = 0;
       for (m : 0 .. LEASES - 1) {
         if
         :: lease[m].session == s && lease[m].coordinator == MINE && UNSETTLED(m) != 0 -> ME.held = ME.held | BIT(m)
         :: else
         fi
       }
       ME.replaced = !ME.row;
       ME.memory = giving_up }
  :: d_step { (ME.memory == giving_up || ME.memory == leaving) && IS_UP(MINE) && (ME.held == 0 || ANY(FREE_IN, ME.held)) ->
       for (m : 0 .. LEASES - 1) {
         if
         :: FREE_IN(ME.held, m) ->
            ME.held = ME.held & ~BIT(m);
            if
            :: lease[m].session == s && lease[m].coordinator == MINE -> give_back(m, ME.memory == giving_up && !ME.replaced)
            :: else
            fi
         :: else
         fi
       }
       if
       :: ME.held == 0 -> ME.memory = unknown; ME.row = 0; ME.replaced = 0
       :: else
       fi;
       check_places(); tidy() }
  od
}

/* ---- What coordinators do about one lease ---- */

#define NAMED_BY lease[l].coordinator
#define IN_SESSION session[lease[l].session]
#define WITH_WORKER worker[session[lease[l].session].worker]

/* Others give up what is in the name of a coordinator that has been expired for a time to live, under a lock on its row. */
#ifdef REAPER_IGNORES_TTL
#define MAY_REAP(d) true
#else
#define MAY_REAP(d) (coordinator[d].row == given_up && coordinator[1 - (d)].steady)
#endif
/* Under a session that has ended nothing was ever delivered, or all of it was handed back. */
#ifdef REAPER_ALWAYS_SPENDS
#define SPENDS(l) true
#else
#define SPENDS(l) IN_SESSION.row
#endif

proctype Keeper(byte l) {
end: do
  /* engine/deliver.ts. Into a stream that has broken unseen it goes in vain. */
  :: d_step { lease[l].undelivered && IS_UP(NAMED_BY) && IN_SESSION.memory == open && (WITH_WORKER.stream != lease[l].session || WITH_WORKER.process == up) ->
       printf("lease %d is written to session %d\n", l, lease[l].session);
       lease[l].undelivered = 0; IN_SESSION.held = IN_SESSION.held | BIT(l); lease[l].token = (WITH_WORKER.stream == lease[l].session);
       m = WORKER_OF(l);
       check_window(m); tidy() }
  :: d_step { lease[l].undelivered && IS_UP(NAMED_BY) && IN_SESSION.memory != open && !BUSY(l) -> lease[l].undelivered = 0; give_back(l, false); check_places(); tidy() }
  /* engine/reaper.ts, #takeOver; store/coordinators.ts, lockExpired */
  :: d_step { UNSETTLED(l) != 0 && !BUSY(l) && IS_UP(1 - NAMED_BY) && MAY_REAP(NAMED_BY) -> give_back(l, SPENDS(l)); check_places(); tidy() }
  /* engine/housekeeping.ts, #audit: in our name, and no session of ours knows it. */
  :: d_step { UNSETTLED(l) != 0 && !BUSY(l) && IS_UP(NAMED_BY) && coordinator[NAMED_BY].audit && !lease[l].undelivered && !HAS(IN_SESSION.held, l) ->
       give_back(l, false); check_places(); tidy() }
  /* engine/mender.ts: what a hello found locked. Its proof is the session that it was taken from. */
  :: d_step { lease[l].late != 0 && IS_UP(lease[l].late - 1) && IN_SESSION.row -> lease[l].late = 0 }
  :: d_step { lease[l].late != 0 && IS_UP(lease[l].late - 1) && !IN_SESSION.row && !BUSY(l) -> give_back(l, false); check_places(); tidy() }
  od
}

/* ---- Coordinators among themselves: engine/pulse.ts, engine/housekeeping.ts, store/coordinators.ts ---- */

#define OTHER (1 - c)
#define STANDS_IN_NAME_OF(d, l) (UNSETTLED(l) != 0 && lease[l].coordinator == (d))

proctype Housekeeping(byte c) {
end: do
  /* Back from where it was: it renews its row or enters again, drops what others took, and lets go whose session has ended. */
  :: d_step { IS_UP(c) && !coordinator[c].beating ->
       printf("coordinator %d beats again\n", c);
       coordinator[c].row = live; coordinator[c].beating = 1; coordinator[c].hasty = 0;
       for (i : 0 .. SESSIONS - 1) {
         if
         :: session[i].coordinator == c && (session[i].memory == open || session[i].memory == broken) ->
            for (j : 0 .. LEASES - 1) {
              if
              :: STANDS_IN_NAME_OF(c, j) -> skip
              :: else -> session[i].held = session[i].held & ~BIT(j)
              fi
            }
            if
            :: !session[i].row -> session[i].memory = broken
            :: else
            fi
         :: else
         fi
       }
       tidy() }
  :: d_step { IS_UP(c) && coordinator[c].beating && !coordinator[c].steady && TTL_PASSES -> coordinator[c].steady = 1 }
  /* BURY */
  :: d_step { IS_UP(c) && coordinator[c].steady && coordinator[OTHER].row == given_up && !ANY(STANDS_IN_NAME_OF, OTHER) ->
       printf("coordinator %d is buried\n", OTHER);
       coordinator[OTHER].row = gone;
       for (i : 0 .. SESSIONS - 1) {
         if
         :: session[i].coordinator == OTHER -> session[i].row = 0
         :: else
         fi
       }
       tidy() }
#ifndef NO_ADOPTION
  /* ADOPT: leases in a name that has no row, as if it had expired just now. */
  :: d_step { IS_UP(c) && coordinator[c].beating && coordinator[OTHER].row == gone && ANY(STANDS_IN_NAME_OF, OTHER) -> coordinator[OTHER].row = live }
#endif
  od
}

/* ---- The worker: worker/stream, worker/lease. It may say anything of what it holds, as often as it likes ---- */

#define I worker[w]
#define STREAM session[worker[w].stream]
/* Its stream has broken, or nobody answers, or it was closed. */
#define LOOKS_FOR_COORDINATOR \
  (I.process == up && (I.stream == NONE || !IS_UP(STREAM.coordinator) || STREAM.memory == unknown || STREAM.memory == broken || STREAM.memory == giving_up))

inline connect(w, c) {
  x = 0;
  do
  :: x < SESSIONS && (session[x].memory != unknown || session[x].row || session[x].stage != idle || worker[0].stream == x || worker[1].stream == x ||
                      ANY(OF_SESSION, x) || ANY_SESSION(ENDS_SESSION, x)) -> x++
  :: else -> break
  od;
  assert(x < SESSIONS);
  printf("worker %d says hello to coordinator %d: session %d\n", w, c, x);
  worker[w].stream = x; worker[w].welcome = 0;
  for (i : 0 .. LEASES - 1) {
    if
    :: lease[i].token && WORKER_OF(i) == w -> session[x].held = session[x].held | BIT(i)
    :: else
    fi
  }
  session[x].worker = w; session[x].coordinator = c; session[x].memory = asked;
  tidy()
}

proctype Labour(byte w) {
end: do
  :: d_step { LOOKS_FOR_COORDINATOR && GREETS(0) -> connect(w, 0) }
  :: d_step { LOOKS_FOR_COORDINATOR && GREETS(1) -> connect(w, 1) }
  :: d_step { I.process == up && I.stream != NONE && !I.welcome && STREAM.memory == open -> say_welcome(w); tidy() }
  /* The application's transaction ends: store/migrations/0012_sql_interface.sql, complete(). The outcome's key decides. */
  :: d_step { I.process == up && I.sql != NONE ->
       if
       :: FINAL(I.sql_job) -> skip
       :: else ->
          printf("worker %d: job %d is completed in SQL under lease %d\n", w, I.sql_job, I.sql);
          assert(HOLDS(I.sql, I.sql_job));
          outcome[I.sql_job] = succeeded; ended_under[I.sql_job] = I.sql; effects[I.sql_job]++
       fi;
       I.sql = NONE; I.sql_job = 0;
       check_places(); tidy() }
  :: d_step { I.process == up && I.sql != NONE -> I.sql = NONE; I.sql_job = 0; tidy() }
  od
}

/* One lease in the hands of its worker. */
#define HOLDER worker[WORKER_OF(l)]
#define TO_DO(j) (lease[l].token && HOLDER.process == up && HAS(lease[l].jobs & ~lease[l].receipts, j))
#define MAY_REPORT(j) (TO_DO(j) && HOLDER.welcome && session[HOLDER.stream].stage == idle)
#define MAY_COMPLETE(j) (TO_DO(j) && HOLDER.sql == NONE && transactions > 0 && HOLDS(l, j) && lease[l].lock != 2)

inline report(l, j, what) {
  k = HOLDER.stream;
  printf("session %d: its worker reports job %d under lease %d: %e\n", k, j, l, what);
  session[k].lease = l; session[k].job = j; session[k].word = what; session[k].stage = reported
}

inline begin_sql(l, j) {
  printf("a transaction begins to complete job %d under lease %d\n", j, l);
  transactions--; HOLDER.sql = l; HOLDER.sql_job = j
}

proctype Holding(byte l) {
end: do
  :: d_step { MAY_REPORT(0) -> report(l, 0, succeed) }
  :: d_step { MAY_REPORT(0) -> report(l, 0, fail) }
  :: d_step { MAY_COMPLETE(0) -> begin_sql(l, 0) }
#if JOBS > 1
  :: d_step { MAY_REPORT(1) -> report(l, 1, succeed) }
  :: d_step { MAY_REPORT(1) -> report(l, 1, fail) }
  :: d_step { MAY_COMPLETE(1) -> begin_sql(l, 1) }
#endif
  od
}

/* ---- Whoever submits, and whoever cancels: engine/submitter.ts, engine/hand_off.ts, store/cancel_jobs.ts ---- */

inline submit(job) {
  printf("job %d is submitted\n", job);
  if
  :: HAS(exists, job) -> skip /* a repeat creates nothing */
  :: else -> exists = exists | BIT(job); ready = ready | BIT(job)
  fi;
  check_places()
}

/* Nothing waits before it, and a session has room. */
#ifdef HAND_OFF_WITHOUT_WINDOW
#define MAY_HAND_OFF(job, s) (!HAS(accepted_submits | exists, job) && ready == 0 && MAY_LEASE(s))
#else
#define MAY_HAND_OFF(job, s) (!HAS(accepted_submits | exists, job) && ready == 0 && MAY_LEASE(s) && HAS_ROOM(s, 1))
#endif
inline hand_off(job, s) {
  printf("job %d is handed off to session %d\n", job, s);
  exists = exists | BIT(job);
  grant(s, BIT(job));
  lease[x].undelivered = 1;
  accepted_submits = accepted_submits | BIT(job)
}

#define HELD_UNLOCKED(job, l) (HOLDS(l, job) && lease[l].lock == 0)

proctype Client(byte job) {
end: do
  :: d_step { !HAS(accepted_submits, job) && (IS_UP(0) || IS_UP(1)) -> submit(job); accepted_submits = accepted_submits | BIT(job) }
  /* The answer is lost: it is submitted again, with the same id. */
  :: d_step { lost_answers > 0 && !HAS(accepted_submits, job) && (IS_UP(0) || IS_UP(1)) -> printf("the answer is lost:\n"); lost_answers--; submit(job) }
  :: d_step { MAY_HAND_OFF(job, 0) -> hand_off(job, 0) }
  :: d_step { MAY_HAND_OFF(job, 1) -> hand_off(job, 1) }

  :: d_step { cancels > 0 && HAS(ready, job) -> printf("job %d is cancelled\n", job); cancels--; ready = ready & ~BIT(job); outcome[job] = cancelled; check_places() }
  :: d_step { cancels > 0 && ANY(HELD_UNLOCKED, job) ->
       cancels--;
       for (i : 0 .. LEASES - 1) {
         if
         :: HOLDS(i, job) -> k = i
         :: else
         fi
       }
       printf("job %d is cancelled under lease %d\n", job, k);
       outcome[job] = cancelled; ended_under[job] = k; lease[k].settled = lease[k].settled | BIT(job);
       check_places(); tidy() }
  od
}

/* ---- What goes wrong. One worker and one coordinator stay, and whoever froze thaws ---- */

inline drop_tokens(w) {
  for (i : 0 .. LEASES - 1) {
    if
    :: lease[i].token && WORKER_OF(i) == w -> lease[i].token = 0; lease[i].receipts = 0
    :: else
    fi
  }
  worker[w].stream = NONE; worker[w].welcome = 0; worker[w].sql = NONE; worker[w].sql_job = 0; worker[w].process = dead
}

/* Not inside a transaction: it would be rolled back, as if it had not begun. */
#define WRITING_AT(c, s) (session[s].stage == looked && session[s].coordinator == (c))

proctype WorkerFaults(byte w) {
end: do
  :: d_step { worker_faults > 0 && I.stream != NONE && I.process == up -> printf("the stream of worker %d breaks\n", w); worker_faults--; I.stream = NONE; I.welcome = 0; tidy() }
  :: d_step { worker_faults > 0 && I.process == up -> printf("worker %d freezes\n", w); worker_faults--; I.process = frozen; I.was_away = 1 }
  :: d_step { I.process == frozen -> printf("worker %d thaws\n", w); I.process = up }
  :: d_step { worker_faults > 0 && I.process == up && worker[1 - w].process != dead ->
       printf("worker %d is killed\n", w); worker_faults--; I.was_away = 1; drop_tokens(w); tidy() }
  /* It drains: it half-closes, and what it has not done goes back (rpc/lease_stream.ts, #leave). */
  :: d_step { worker_faults > 0 && I.process == up && worker[1 - w].process != dead && I.sql == NONE && I.welcome && STREAM.memory == open && IS_UP(STREAM.coordinator) && STREAM.stage == idle ->
       printf("worker %d takes its leave\n", w); worker_faults--; STREAM.memory = leaving; STREAM.row = 0; drop_tokens(w); tidy() }
  od
}

/* With one job the two sides are alike: the first coordinator to be hit is number 0. */
#define MAY_HIT(c) (coordinator_faults > 0 && (JOBS > 1 || c == 0 || coordinator_faults < COORDINATOR_FAULTS))

proctype CoordinatorFaults(byte c) {
end: do
  :: d_step { MAY_HIT(c) && IS_UP(c) && !ANY_SESSION(WRITING_AT, c) -> printf("coordinator %d freezes\n", c); coordinator_faults--; coordinator[c].process = frozen; coordinator[c].beating = 0; coordinator[c].steady = 0 }
  :: d_step { coordinator[c].process == frozen -> printf("coordinator %d thaws\n", c); coordinator[c].process = up }
  :: d_step { MAY_HIT(c) && coordinator[c].process != dead && coordinator[1 - c].process != dead && !ANY_SESSION(WRITING_AT, c) ->
       printf("coordinator %d is killed\n", c); coordinator_faults--; coordinator[c].process = dead; forget_all(c); tidy() }
  :: d_step { coordinator[c].row == live && !IS_UP(c) && TTL_PASSES -> printf("coordinator %d has been expired for a time to live\n", c); coordinator[c].row = given_up }
  od
}

/* Nothing more can happen, and everything frozen has thawed: no job is stuck, and no lease is left (promise 1). */
proctype Judge() {
  timeout ->
  for (i : 0 .. JOBS - 1) {
    assert(HAS(accepted_submits, i) && FINAL(i));
    assert(effects[i] <= 1 && (effects[i] == 0 || outcome[i] == succeeded))
  }
  for (i : 0 .. LEASES - 1) { assert(UNSETTLED(i) == 0) }
}

/* Each worker is welcome at a coordinator of its own. */
init {
  atomic {
    for (i : 0 .. SESSIONS - 1) { session[i].memory = unknown; clear_report(i) }
    for (i : 0 .. 1) {
      coordinator[i].process = up; coordinator[i].row = live; coordinator[i].beating = 1; coordinator[i].steady = 1;
      worker[i].process = up; worker[i].sql = NONE; worker[i].stream = i; worker[i].welcome = 1;
      session[i].worker = i; session[i].coordinator = i; session[i].row = 1; session[i].memory = open
    }
    i = 0; k = 0;
    for (m : 0 .. 1) { run Housekeeping(m); run Labour(m); run WorkerFaults(m); run CoordinatorFaults(m) }
    for (m : 0 .. JOBS - 1) { run Client(m) }
    for (m : 0 .. SESSIONS - 1) { run Stream(m) }
    for (m : 0 .. LEASES - 1) { run Keeper(m); run Holding(m) }
    run Judge();
    m = 0
  }
}

#ifdef LIVENESS
/* No fairness is asked for: every run ends. */
ltl an_accepted_job_ends { [] (HAS(accepted_submits, 0) -> <> FINAL(0)) }
#endif

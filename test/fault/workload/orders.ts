import type pg from 'pg';
import { newJobId } from '../../../worker/index.ts';
import type { History } from '../history/history.ts';
import type { Random } from '../random.ts';

/** An application that places an order and submits its job in one transaction of its own, and sometimes thinks better of it. */
export function ordersOf(pool: pg.Pool, history: History, random: Random): () => Promise<void> {
  return async () => {
    const id = newJobId();
    const end = random.chance(0.2) ? 'rollback' : 'commit';
    try {
      const client = await pool.connect();
      try {
        await client.query('begin');
        await client.query('insert into fault.orders (job_id) values ($1)', [id]);
        await client.query(`select skiplease.submit('plain', 'work', '{}', id => $1)`, [id]);
        history.write({ event: 'order', id, end });
        await client.query(end);
        client.release();
      } catch (error) {
        client.release(error as Error);
      }
    } catch {
      // The database is away. Whether the transaction was committed is for the database to say: both are there, or neither.
    }
  };
}

/**
 * The payment provider, simulated: it answers by the intent's token, as the test cards of a real one's sandbox do, and by
 * the attempt. Like a real one it is asked under the intent's reference as idempotency key: asked again after a crash it
 * gives the same answer and charges nobody twice.
 */
import type { Payment } from './intent.ts';

export type ProviderAnswer =
  | { kind: 'approved' }
  | { kind: 'declined'; reason: string }
  /** No answer in time: a later attempt may get one. */
  | { kind: 'timed_out' }
  /** The provider cannot be reached, whatever the attempt. */
  | { kind: 'unavailable' };

/** How many attempts go without an answer before one gets it. */
const timeouts: Readonly<Record<string, number>> = { tok_timeout_once: 1, tok_timeout_twice: 2 };
const declinePrefix = 'tok_decline_';

/** `attempt` counts from 1. */
export async function askProvider(payment: Pick<Payment, 'token'>, attempt: number): Promise<ProviderAnswer> {
  const { token } = payment;
  if (token.startsWith(declinePrefix)) return { kind: 'declined', reason: token.slice(declinePrefix.length).replaceAll('_', ' ') };
  if (token === 'tok_provider_down') return { kind: 'unavailable' };
  if (attempt <= (timeouts[token] ?? 0)) return { kind: 'timed_out' };
  return { kind: 'approved' };
}

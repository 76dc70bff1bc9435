import { gatherFacts, type Evidence, type Facts } from './facts.ts';
import { RULES } from './rules/index.ts';
import type { Violation } from './violation.ts';

/** What was found of the evidence, by nothing but the evidence. */
export interface Verdict {
  facts: Facts;
  violations: Violation[];
}

/** Holds the evidence against every rule. Pure. */
export function check(evidence: Evidence): Verdict {
  const facts = gatherFacts(evidence);
  const violations = RULES.flatMap((rule) => [...rule.check(facts)].map((found) => ({ rule: rule.name, ...found })));
  return { facts, violations };
}

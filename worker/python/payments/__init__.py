"""The demo's payments, as worker/payments has them in TypeScript: the same payloads, rules and ledger."""

/** What a job is checked against. */
export interface JobRules {
  /** Of the database's clock. */
  nowMs: number;
  payloadBytesMax: number;
  /** How long final jobs are kept, and unique keys at most. */
  retentionDays?: number;
}
